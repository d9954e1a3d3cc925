-- Yields (rule id, item name id, name, words, HS prefix) of every match rule whose name is there, the oldest first.
SELECT rule.id, name.id, name.name, rule.words, rule.hs_prefix
FROM license_matchrule AS rule
JOIN license_itemname AS name ON name.id = rule.item_name_id
ORDER BY rule.id
