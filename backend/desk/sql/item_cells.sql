-- What is left on licenses by item name and unit, as the engine has stored it.
--
-- Parameters: license_ids bigint[]; norm_id bigint, whose names and those of no norm count (NULL: all names).
-- Quantities of the items of a license that share name and unit add up. Their values may be the same money, so they do
-- not: `value` is the greatest of them. Items without such a name have item_name_id NULL; one with several is there
-- once for each.
--
-- Each table is read by its index for all licenses at once. FULL JOIN, and HAVING to drop what has no partner: no planner
-- makes a loop over all pairs of it (docs/decisions/0005-expected-in-one-pass.md).
WITH item AS MATERIALIZED (
    SELECT id, license_id, unit FROM license_importitem WHERE license_id = ANY(%(license_ids)s::bigint[])
)
SELECT
    license.id AS license_id,
    license.currency,
    named.item_name_id,
    item.unit,
    sum(balance.available_quantity) AS quantity,
    max(balance.available_value) AS value,
    count(balance.import_item_id) AS items
FROM (
    SELECT id, currency FROM license_license WHERE id = ANY(%(license_ids)s::bigint[])
) AS license
FULL JOIN item ON item.license_id = license.id
FULL JOIN (
    SELECT license_id, import_item_id, available_quantity, available_value FROM ledger_importitembalance
    WHERE license_id = ANY(%(license_ids)s::bigint[])
) AS balance ON balance.license_id = item.license_id AND balance.import_item_id = item.id
FULL JOIN (
    SELECT link.importitem_id AS import_item_id, name.id AS item_name_id
    FROM (
        SELECT importitem_id, itemname_id FROM license_importitem_item_names
        WHERE importitem_id = ANY(ARRAY(SELECT id FROM item))
        OFFSET 0
    ) AS link
    JOIN license_itemname AS name ON name.id = link.itemname_id
    WHERE name.sion_norm_id = %(norm_id)s::bigint OR name.sion_norm_id IS NULL OR %(norm_id)s::bigint IS NULL
) AS named ON named.import_item_id = item.id
GROUP BY license.id, license.currency, named.item_name_id, item.unit
HAVING count(item.id) > 0 AND count(balance.import_item_id) > 0
