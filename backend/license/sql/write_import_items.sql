-- Writes what a sheet says of import items: all four columns of items whose rows are locked.
UPDATE license_importitem AS item
SET description = sheet.description,
    hs_code_id = hs_code.id,
    unit = sheet.unit,
    restriction_percentage = sheet.restriction_percentage
FROM unnest(
    %(import_item_ids)s::bigint[],
    %(descriptions)s::text[],
    %(hs_codes)s::text[],
    %(units)s::text[],
    %(restriction_percentages)s::numeric[]
) AS sheet (import_item_id, description, hs_code, unit, restriction_percentage)
LEFT JOIN license_hscode AS hs_code ON hs_code.code = sheet.hs_code
WHERE item.id = sheet.import_item_id
