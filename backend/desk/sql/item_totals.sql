-- The cells of item_cells.sql over all of its licenses: quantities by item name and unit; values by item name and
-- currency, in which each license counts once for a name.
WITH cell AS MATERIALIZED (
    /* include item_cells.sql */
)
SELECT name.id AS item_name_id, name.name, total.unit, total.currency, total.quantity, total.value
FROM (
    SELECT item_name_id, unit, NULL AS currency, sum(quantity) AS quantity, NULL::numeric AS value
    FROM cell
    GROUP BY item_name_id, unit
    UNION ALL
    SELECT item_name_id, NULL, currency, NULL, sum(value)
    FROM (
        SELECT item_name_id, currency, max(value) AS value FROM cell GROUP BY license_id, item_name_id, currency
    ) AS once
    GROUP BY item_name_id, currency
) AS total
JOIN license_itemname AS name ON name.id = total.item_name_id
ORDER BY name.name, name.id, total.unit, total.currency
