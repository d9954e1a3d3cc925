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
)
SELECT
    ours.license_number,
    format(
        'our debits up to %%s come to %%s, those of the ledger to %%s; not in the ledger: %%s',
        to_char(ours.as_of, 'DD/MM/YYYY'), sum(ours.cif_fc), theirs.cif_fc,
        coalesce(
            string_agg(
                format('item %%s, bill of entry %%s over %%s', ours.serial_number, ours.number, ours.cif_fc), '; '
                ORDER BY ours.serial_number, ours.number
            ) FILTER (WHERE ours.is_ours_alone),
            'none'
        )
    ) AS note
FROM ours
CROSS JOIN LATERAL (
    SELECT coalesce(sum(debit.cif_fc), 0) AS cif_fc
    FROM incoming_debit AS debit
    WHERE debit.license_number = ours.license_number AND debit.date <= ours.as_of
) AS theirs
GROUP BY ours.license_number, ours.as_of, theirs.cif_fc
HAVING abs(sum(ours.cif_fc) - theirs.cif_fc) > 1.00
