-- Of the facts that were known: what documents of a day, and of days before it, say. A bill of entry without a date counts
-- from the first day on; an allotment counts from the day on which it was entered, until the day of the first bill of
-- entry that released it, or the day on which it was given up.
ledger_billofentryline AS MATERIALIZED (
    SELECT line.*
    FROM known_billofentryline AS line
    JOIN ledger_billofentry AS bill ON bill.id = line.bill_of_entry_id
    WHERE coalesce(bill.date, '-infinity') <= %(until)s::date
), ledger_allotment AS MATERIALIZED (
    SELECT * FROM known_allotment WHERE (created_at AT TIME ZONE 'Asia/Kolkata')::date <= %(until)s::date
), ledger_allotmentline AS MATERIALIZED (
    SELECT * FROM known_allotmentline WHERE allotment_id = ANY(ARRAY(SELECT id FROM ledger_allotment))
), ledger_allotment_bills_of_entry AS MATERIALIZED (
    SELECT link.*
    FROM known_allotment_bills_of_entry AS link
    JOIN ledger_billofentry AS bill ON bill.id = link.billofentry_id
    WHERE coalesce(bill.date, '-infinity') <= %(until)s::date
), ledger_allotmentrelease AS MATERIALIZED (
    SELECT * FROM known_allotmentrelease WHERE (released_at AT TIME ZONE 'Asia/Kolkata')::date <= %(until)s::date
)
