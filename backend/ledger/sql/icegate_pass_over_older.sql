-- A ledger older than the one we hold changes nothing. Where a date is not printed, the newest date that is mentioned
-- stands for it: what we hold is at least that new, and a file without a date is trusted only if it is so as well.
WITH held AS (
    SELECT
        license.license_number,
        coalesce(license.ledger_date, (
            SELECT max(bill.date)
            FROM license_importitem AS item
            JOIN ledger_billofentryline AS line ON line.import_item_id = item.id AND line.source = 'icegate'
            JOIN ledger_billofentry AS bill ON bill.id = line.bill_of_entry_id
            WHERE item.license_id = license.id
        )) AS as_of
    FROM license_license AS license
    JOIN incoming_license USING (license_number)
), older AS (
    DELETE FROM incoming_license AS incoming
    USING held
    WHERE held.license_number = incoming.license_number
        AND coalesce(incoming.ledger_date, incoming.newest_mention) < held.as_of
    RETURNING incoming.license_number, incoming.ledger_date, incoming.newest_mention, held.as_of
), credits AS (
    DELETE FROM incoming_credit USING older WHERE incoming_credit.license_number = older.license_number
), debits AS (
    DELETE FROM incoming_debit USING older WHERE incoming_debit.license_number = older.license_number
)
SELECT
    license_number,
    CASE
        WHEN ledger_date IS NULL THEN format(
            'the file does not say when it was printed, its newest entry is of %%s, and we hold a ledger of %%s: nothing '
            'is changed; if it is the newer one, say so with --ledger-date',
            to_char(newest_mention, 'DD/MM/YYYY'), to_char(as_of, 'DD/MM/YYYY')
        )
        ELSE format(
            'printed on %%s, and we hold a ledger of %%s: nothing is changed',
            to_char(ledger_date, 'DD/MM/YYYY'), to_char(as_of, 'DD/MM/YYYY')
        )
    END AS note
FROM older
