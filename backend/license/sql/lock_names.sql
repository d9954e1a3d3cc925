-- Yields the item names of a name sheet that exist, as they are, locked in the order of their ids.
SELECT name.id, name.name, norm.code, name.restriction_percentage
FROM license_itemname AS name
LEFT JOIN license_sionnorm AS norm ON norm.id = name.sion_norm_id
WHERE name.name = ANY(%(names)s::text[])
ORDER BY name.id
FOR NO KEY UPDATE OF name
