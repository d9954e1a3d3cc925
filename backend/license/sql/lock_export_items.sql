-- Yields (license_id, export_item_id, description, norm) of the export items of these licenses, locked in one order.
SELECT item.license_id, item.id, item.description, norm.code
FROM license_exportitem AS item
LEFT JOIN license_sionnorm AS norm ON norm.id = item.norm_id
WHERE item.license_id = ANY(%(license_ids)s::bigint[])
ORDER BY item.license_id, item.id
FOR NO KEY UPDATE OF item
