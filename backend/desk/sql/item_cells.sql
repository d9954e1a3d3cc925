-- What is left on licenses by item name and unit, as the engine has stored it.
--
-- Parameters: license_ids bigint[]; norm_id bigint, whose names and those of no norm count (NULL: all names).
-- Quantities of the items of a license that share name and unit add up. Their values may be the same money, so they do
-- not: `value` is the greatest of them. Items without such a name have item_name_id NULL; one with several is there
-- once for each.
SELECT
    item.license_id,
    name.id AS item_name_id,
    item.unit,
    sum(balance.available_quantity) AS quantity,
    max(balance.available_value) AS value,
    count(*) AS items
FROM license_importitem AS item
JOIN ledger_importitembalance AS balance
    ON balance.license_id = item.license_id AND balance.import_item_id = item.id
LEFT JOIN (
    license_importitem_item_names AS link
    JOIN license_itemname AS name
        ON name.id = link.itemname_id
        AND (name.sion_norm_id = %(norm_id)s::bigint OR name.sion_norm_id IS NULL OR %(norm_id)s::bigint IS NULL)
) ON link.importitem_id = item.id
WHERE item.license_id = ANY(%(license_ids)s::bigint[])
GROUP BY item.license_id, name.id, item.unit
