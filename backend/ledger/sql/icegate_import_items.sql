-- Credits become import items. Descriptions, HS codes, names and percentages are not in a ledger and are left alone.
WITH told AS (
    SELECT incoming.license_id, credit.*
    FROM incoming_credit AS credit
    JOIN incoming_license AS incoming USING (license_number)
), updated AS (
    UPDATE license_importitem AS item
    SET quantity = told.quantity, cif_fc = told.cif_fc, cif_inr = told.cif_inr
    FROM told
    WHERE item.license_id = told.license_id
        AND item.serial_number = told.serial_number
        AND (item.quantity, item.cif_fc, item.cif_inr) IS DISTINCT FROM (told.quantity, told.cif_fc, told.cif_inr)
    RETURNING told.license_number
), created AS (
    INSERT INTO license_importitem (license_id, serial_number, quantity, cif_fc, cif_inr)
    SELECT license_id, serial_number, quantity, cif_fc, cif_inr
    FROM told
    WHERE NOT EXISTS (
        SELECT FROM license_importitem AS item
        WHERE item.license_id = told.license_id AND item.serial_number = told.serial_number
    )
    ORDER BY license_id, serial_number
    RETURNING license_id
)
SELECT license_number, NULL AS note FROM updated
UNION ALL
SELECT incoming.license_number, NULL FROM created JOIN incoming_license AS incoming USING (license_id)
