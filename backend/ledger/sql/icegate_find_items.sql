-- Every incoming debit knows its license and its import item from here on.
UPDATE incoming_debit AS debit
SET license_id = incoming.license_id, import_item_id = item.id
FROM incoming_license AS incoming
JOIN license_importitem AS item ON item.license_id = incoming.license_id
WHERE incoming.license_number = debit.license_number AND item.serial_number = debit.serial_number
