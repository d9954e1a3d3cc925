-- Claims all other pending changes that mean none but locked licenses: a bulk write leaves the changes of one license
-- far apart in the outbox, table by table, and it need not be computed for each of them. Claimed and resolved at once:
-- the licenses are locked already, and are computed after this.
SELECT change.id, coalesce(change.license_id, item.license_id) AS license_id
FROM ledger_licensechange AS change
LEFT JOIN license_importitem AS item ON item.id = change.import_item_id
WHERE change.id <> ALL(%(claimed)s::bigint[])
    AND coalesce(change.license_id, item.license_id) = ANY(%(license_ids)s::bigint[])
ORDER BY change.id
FOR UPDATE OF change SKIP LOCKED
