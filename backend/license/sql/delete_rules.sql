-- Deletes match rules that a sheet replaces.
DELETE FROM license_matchrule AS rule
USING license_itemname AS name,
    unnest(%(names)s::text[], %(words)s::text[], %(hs_prefixes)s::text[]) AS sheet (name, words, hs_prefix)
WHERE name.id = rule.item_name_id
    AND name.name = sheet.name
    AND rule.words = sheet.words
    AND rule.hs_prefix = sheet.hs_prefix
