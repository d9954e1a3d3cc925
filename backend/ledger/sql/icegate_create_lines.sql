-- Debits that we do not have.
INSERT INTO ledger_billofentryline (
    bill_of_entry_id, import_item_id, transaction_type, quantity, cif_fc, cif_inr, source
)
SELECT debit.bill_of_entry_id, debit.import_item_id, 'D', debit.quantity, debit.cif_fc, debit.cif_inr, 'icegate'
FROM incoming_debit AS debit
WHERE NOT EXISTS (
    SELECT FROM ledger_billofentryline AS line
    WHERE line.bill_of_entry_id = debit.bill_of_entry_id
        AND line.import_item_id = debit.import_item_id
        AND line.transaction_type = 'D'
)
ORDER BY debit.import_item_id, debit.bill_of_entry_id
RETURNING (
    SELECT license.license_number
    FROM license_importitem AS item
    JOIN license_license AS license ON license.id = item.license_id
    WHERE item.id = import_item_id
) AS license_number, NULL AS note
