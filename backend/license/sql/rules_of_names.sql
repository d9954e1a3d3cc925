-- Yields (name, words, HS prefix) of the match rules of these item names.
SELECT name.name, rule.words, rule.hs_prefix
FROM license_matchrule AS rule
JOIN license_itemname AS name ON name.id = rule.item_name_id
WHERE name.name = ANY(%(names)s::text[])
ORDER BY rule.id
