-- Which licenses the changes of an array mean, in this statement's snapshot. A license
-- id resolves to itself, without a join: the balance of a deleted license is removed because of it.
SELECT change.id AS change_id, change.license_id
FROM ledger_licensechange AS change
WHERE change.id = ANY(%(change_ids)s::bigint[])
    AND change.license_id IS NOT NULL
UNION
SELECT change.id, item.license_id
FROM ledger_licensechange AS change
JOIN license_importitem AS item ON item.id = change.import_item_id
WHERE change.id = ANY(%(change_ids)s::bigint[])
UNION
SELECT change.id, item.license_id
FROM ledger_licensechange AS change
JOIN ledger_allotmentline AS line ON line.allotment_id = change.allotment_id
JOIN license_importitem AS item ON item.id = line.import_item_id
WHERE change.id = ANY(%(change_ids)s::bigint[])
UNION
SELECT change.id, item.license_id
FROM ledger_licensechange AS change
JOIN license_importitem_item_names AS link ON link.itemname_id = change.item_name_id
JOIN license_importitem AS item ON item.id = link.importitem_id
WHERE change.id = ANY(%(change_ids)s::bigint[])
UNION
-- no id at all, as TRUNCATE leaves it: every license there is, and every license that a balance is left of, or a place
-- in quarantine, of which a license whose first recompute failed has nothing else
SELECT change.id, every.license_id
FROM ledger_licensechange AS change
CROSS JOIN (
    SELECT id AS license_id FROM license_license
    UNION SELECT license_id FROM ledger_licensebalance
    UNION SELECT license_id FROM ledger_importitembalance
    UNION SELECT license_id FROM ledger_quarantine
) AS every
WHERE change.id = ANY(%(change_ids)s::bigint[])
    AND coalesce(change.license_id, change.import_item_id, change.allotment_id, change.item_name_id) IS NULL
    -- asked once, before anything is joined: else every license is read for each batch, and mostly for nothing
    AND EXISTS (
        SELECT FROM ledger_licensechange AS change
        WHERE change.id = ANY(%(change_ids)s::bigint[])
            AND coalesce(change.license_id, change.import_item_id, change.allotment_id, change.item_name_id) IS NULL
    )
