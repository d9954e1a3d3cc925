-- The judge: licenses of which our debits up to the ledger's day come to something else than the ledger's, other than by
-- disputed lines, which are told of by themselves. Names the lines that customs does not have.
WITH ours AS (
    SELECT incoming.license_number, incoming.as_of, item.serial_number, bill.number, line.cif_fc,
        debit.position IS NULL AS is_ours_alone
    FROM incoming_license AS incoming
    JOIN license_importitem AS item ON item.license_id = incoming.license_id
    JOIN ledger_billofentryline AS line
        ON line.import_item_id = item.id AND line.transaction_type = 'D' AND line.disputed_since IS NULL
    JOIN ledger_billofentry AS bill ON bill.id = line.bill_of_entry_id
    LEFT JOIN incoming_debit AS debit
        ON debit.bill_of_entry_id = line.bill_of_entry_id AND debit.import_item_id = line.import_item_id
    WHERE bill.date IS NULL OR bill.date <= incoming.as_of
), our_sums AS (
    SELECT
        license_number, as_of, sum(cif_fc) AS cif_fc,
        string_agg(
            format('item %%s, bill of entry %%s over %%s', serial_number, number, cif_fc), '; '
            ORDER BY serial_number, number
        ) FILTER (WHERE is_ours_alone) AS ours_alone
    FROM ours
    GROUP BY license_number, as_of
), their_sums AS (
    SELECT incoming.license_number, coalesce(sum(debit.cif_fc), 0) AS cif_fc
    FROM incoming_license AS incoming
    LEFT JOIN incoming_debit AS debit
        ON debit.license_number = incoming.license_number AND debit.date <= incoming.as_of
    GROUP BY incoming.license_number
)
SELECT
    license_number,
    format(
        'our debits up to %%s come to %%s, those of the ledger to %%s; not in the ledger: %%s',
        to_char(as_of, 'DD/MM/YYYY'), our_sums.cif_fc, their_sums.cif_fc, coalesce(ours_alone, 'none')
    ) AS note
FROM our_sums
JOIN their_sums USING (license_number)
WHERE abs(our_sums.cif_fc - their_sums.cif_fc) > 1.00
