-- Yields those import items that exist, as they are, locked in the order in which ledgers write them too.
SELECT
    item.license_id,
    item.serial_number,
    item.id,
    item.description,
    coalesce(hs_code.code, '') AS hs_code,
    item.unit,
    item.restriction_percentage
FROM unnest(%(license_ids)s::bigint[], %(serial_numbers)s::bigint[]) AS wanted (license_id, serial_number)
JOIN license_importitem AS item
    ON item.license_id = wanted.license_id AND item.serial_number = wanted.serial_number
LEFT JOIN license_hscode AS hs_code ON hs_code.id = item.hs_code_id
ORDER BY item.license_id, item.serial_number
FOR NO KEY UPDATE OF item
