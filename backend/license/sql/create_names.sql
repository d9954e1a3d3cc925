-- Creates item names.
INSERT INTO license_itemname (name, sion_norm_id, restriction_percentage)
SELECT sheet.name, norm.id, sheet.restriction_percentage
FROM unnest(%(names)s::text[], %(norms)s::text[], %(restriction_percentages)s::numeric[])
    AS sheet (name, norm, restriction_percentage)
LEFT JOIN license_sionnorm AS norm ON norm.code = sheet.norm
ORDER BY sheet.name
