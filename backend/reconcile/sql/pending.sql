-- Licenses that a pending change means, in this statement's snapshot. The engine resolves changes in a query of its own
-- (ledger/sql/resolve_changes.sql); what audits it must not share its mistakes.
SELECT license_id FROM ledger_licensechange WHERE license_id IS NOT NULL
UNION
SELECT item.license_id
FROM (
    SELECT import_item_id AS id FROM ledger_licensechange WHERE import_item_id IS NOT NULL
    UNION
    SELECT line.import_item_id
    FROM ledger_licensechange AS change
    JOIN ledger_allotmentline AS line USING (allotment_id)
    UNION
    SELECT link.importitem_id
    FROM ledger_licensechange AS change
    JOIN license_importitem_item_names AS link ON link.itemname_id = change.item_name_id
) AS touched
-- a look-up for each: joined as a set, all items are hashed, even where nothing is touched
CROSS JOIN LATERAL (SELECT license_id FROM license_importitem WHERE id = touched.id OFFSET 0) AS item
UNION
SELECT every.license_id
FROM (
    SELECT id AS license_id FROM license_license
    UNION ALL SELECT license_id FROM ledger_licensebalance
    UNION ALL SELECT license_id FROM ledger_importitembalance
) AS every
WHERE EXISTS (
    SELECT FROM ledger_licensechange
    WHERE num_nonnulls(license_id, import_item_id, allotment_id, item_name_id) = 0
)
