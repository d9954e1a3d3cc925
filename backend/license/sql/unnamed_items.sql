-- Yields the next import items that are linked to no item name, of one license or of all (NULL), in the order of ids.
SELECT item.id, license.license_number, item.serial_number, item.description, coalesce(hs_code.code, '')
FROM license_importitem AS item
JOIN license_license AS license ON license.id = item.license_id
LEFT JOIN license_hscode AS hs_code ON hs_code.id = item.hs_code_id
WHERE item.id > %(after)s
    AND (%(license_number)s::text IS NULL OR license.license_number = %(license_number)s::text)
    AND NOT EXISTS (SELECT FROM license_importitem_item_names AS link WHERE link.importitem_id = item.id)
ORDER BY item.id
LIMIT %(at_most)s
