-- How many pending changes mean a license that there is: what resolve_changes.sql says, asked of one license.
SELECT count(*)
FROM ledger_licensechange
WHERE license_id = %(license_id)s
    OR import_item_id IN (SELECT id FROM license_importitem WHERE license_id = %(license_id)s)
    OR allotment_id IN (
        SELECT line.allotment_id
        FROM license_importitem AS item
        JOIN ledger_allotmentline AS line ON line.import_item_id = item.id
        WHERE item.license_id = %(license_id)s
    )
    OR item_name_id IN (
        SELECT link.itemname_id
        FROM license_importitem AS item
        JOIN license_importitem_item_names AS link ON link.importitem_id = item.id
        WHERE item.license_id = %(license_id)s
    )
    OR coalesce(license_id, import_item_id, allotment_id, item_name_id) IS NULL
