-- Creates match rules in the order of the sheet.
INSERT INTO license_matchrule (item_name_id, words, hs_prefix)
SELECT name.id, sheet.words, sheet.hs_prefix
FROM unnest(%(names)s::text[], %(words)s::text[], %(hs_prefixes)s::text[])
    WITH ORDINALITY AS sheet (name, words, hs_prefix, place)
JOIN license_itemname AS name ON name.name = sheet.name
ORDER BY sheet.place
ON CONFLICT (item_name_id, words, hs_prefix) DO NOTHING
