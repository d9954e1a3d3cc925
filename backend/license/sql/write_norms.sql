-- Sets the norms of export items whose rows are locked.
UPDATE license_exportitem AS item
SET norm_id = norm.id
FROM unnest(%(export_item_ids)s::bigint[], %(codes)s::text[]) AS sheet (export_item_id, code)
JOIN license_sionnorm AS norm ON norm.code = sheet.code
WHERE item.id = sheet.export_item_id
