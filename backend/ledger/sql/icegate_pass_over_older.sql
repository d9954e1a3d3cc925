-- A ledger older than the one we hold changes nothing. Where a file does not say when it was printed, the newest date
-- that it mentions stands for it: it is of that day or later, and is trusted only if that is not before what we hold.
WITH older AS (
    DELETE FROM incoming_license AS incoming
    USING license_license AS license
    WHERE license.license_number = incoming.license_number
        AND incoming.as_of < coalesce(license.ledger_as_of, license.ledger_date)
    RETURNING
        incoming.license_number, incoming.ledger_date, incoming.as_of,
        coalesce(license.ledger_as_of, license.ledger_date) AS held_as_of
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
            to_char(as_of, 'DD/MM/YYYY'), to_char(held_as_of, 'DD/MM/YYYY')
        )
        ELSE format(
            'printed on %%s, and we hold a ledger of %%s: nothing is changed',
            to_char(ledger_date, 'DD/MM/YYYY'), to_char(held_as_of, 'DD/MM/YYYY')
        )
    END AS note
FROM older
