-- A bill of ours that lacks its date or port gets it from the ledger.
WITH told AS (
    SELECT DISTINCT ON (debit.bill_of_entry_id) debit.bill_of_entry_id AS id, debit.date, port.id AS port_id
    FROM incoming_debit AS debit
    LEFT JOIN license_port AS port ON port.code = debit.port_code
    WHERE debit.bill_of_entry_id IS NOT NULL
    ORDER BY debit.bill_of_entry_id, debit.port_code = '', debit.position
), completed AS (
    UPDATE ledger_billofentry AS bill
    SET date = coalesce(bill.date, told.date), port_id = coalesce(bill.port_id, told.port_id)
    FROM told
    JOIN ledger_billofentry AS before ON before.id = told.id
    WHERE bill.id = told.id
        AND (bill.date IS NULL OR (bill.port_id IS NULL AND told.port_id IS NOT NULL))
    RETURNING bill.id, bill.number, bill.date, before.date IS NULL AS had_no_date
)
SELECT DISTINCT
    debit.license_number,
    CASE
        WHEN completed.had_no_date THEN format(
            'bill of entry %%s had no date in our books; it is that of %%s',
            completed.number, to_char(completed.date, 'DD/MM/YYYY')
        )
    END AS note
FROM completed
JOIN incoming_debit AS debit ON debit.bill_of_entry_id = completed.id
