-- What found_items.sql comes to, by norms of the license, item name, unit and currency; with norms, name and unit NULL for
-- all of a currency, and with currency NULL for all of a unit.
--
-- The values of the items of one license are never added up beyond its balance: where that is less, it counts. An item
-- of several names counts for each of them.
WITH found AS MATERIALIZED (
    /* include found_items.sql */
), of_license AS MATERIALIZED (
    SELECT export.license_id, string_agg(DISTINCT norm.code, ', ' ORDER BY norm.code) AS norms
    FROM license_exportitem AS export
    JOIN license_sionnorm AS norm ON norm.id = export.norm_id
    WHERE export.license_id = ANY(ARRAY(SELECT DISTINCT license_id FROM found))
    GROUP BY export.license_id
), named AS (
    SELECT link.importitem_id AS import_item_id, name.name
    FROM license_importitem_item_names AS link
    JOIN license_itemname AS name ON name.id = link.itemname_id
    WHERE link.importitem_id = ANY(ARRAY(SELECT import_item_id FROM found))
)
SELECT 'name' AS kind, norms, name, unit, currency, count(*) AS licenses, sum(quantity) AS quantity, sum(value) AS value
FROM (
    SELECT
        coalesce(of_license.norms, '') AS norms,
        coalesce(named.name, '') AS name,
        found.unit,
        found.currency,
        sum(found.available_quantity) AS quantity,
        least(sum(found.available_value), max(found.balance_cif)) AS value
    FROM found
    LEFT JOIN of_license ON of_license.license_id = found.license_id
    LEFT JOIN named ON named.import_item_id = found.import_item_id
    GROUP BY found.license_id, 1, 2, found.unit, found.currency
) AS by_license
GROUP BY norms, name, unit, currency
UNION ALL
SELECT 'currency', NULL, NULL, NULL, currency, count(*), NULL, sum(value)
FROM (
    SELECT currency, least(sum(available_value), max(balance_cif)) AS value FROM found GROUP BY license_id, currency
) AS by_license
GROUP BY currency
UNION ALL
SELECT 'unit', NULL, NULL, unit, NULL, count(*), sum(available_quantity), NULL FROM found GROUP BY unit
ORDER BY 1, 2, 3, 4, 5
