-- Lines that an earlier ledger showed and this one, though as new, does not: they still count, and are marked.
WITH disputed AS (
    UPDATE ledger_billofentryline AS line
    SET disputed_since = incoming.as_of
    FROM incoming_license AS incoming
    JOIN license_importitem AS item ON item.license_id = incoming.license_id
    CROSS JOIN ledger_billofentry AS bill
    WHERE line.import_item_id = item.id
        AND bill.id = line.bill_of_entry_id
        AND line.source = 'icegate'
        AND line.transaction_type = 'D'
        AND line.disputed_since IS NULL
        AND bill.date <= incoming.as_of
        -- hashed, however few lines PostgreSQL believes there are: every debit has its bill and its item by now
        AND (line.bill_of_entry_id, line.import_item_id) NOT IN (
            SELECT bill_of_entry_id, import_item_id FROM incoming_debit
        )
    RETURNING incoming.license_number, item.serial_number, bill.number, line.cif_fc
)
SELECT
    license_number,
    format(
        'item %%s, bill of entry %%s over %%s is no longer in the ledger: marked as disputed, still counted',
        serial_number, number, cif_fc
    ) AS note
FROM disputed
ORDER BY license_number, serial_number, number
