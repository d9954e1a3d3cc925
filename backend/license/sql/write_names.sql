-- Writes norm and percentage of item names whose rows are locked.
UPDATE license_itemname AS name
SET sion_norm_id = norm.id,
    restriction_percentage = sheet.restriction_percentage
FROM unnest(%(names)s::text[], %(norms)s::text[], %(restriction_percentages)s::numeric[])
    AS sheet (name, norm, restriction_percentage)
LEFT JOIN license_sionnorm AS norm ON norm.code = sheet.norm
WHERE name.name = sheet.name
