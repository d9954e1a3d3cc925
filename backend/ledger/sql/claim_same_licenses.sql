-- Claims all other pending changes that mean none but locked licenses: a bulk write leaves the changes of one license
-- far apart in the outbox, table by table, and it need not be computed for each of them. Claimed and resolved at once:
-- the licenses are locked already, and are computed after this. Their own items are looked up, license by license: the
-- join with all items read that whole table for each batch, where the outbox had grown faster than its statistics.
SELECT change.id, coalesce(change.license_id, item.license_id) AS license_id
FROM ledger_licensechange AS change
LEFT JOIN (
    SELECT of_license.id, of_license.license_id
    FROM unnest(%(license_ids)s::bigint[]) AS license (id)
    CROSS JOIN LATERAL (SELECT id, license_id FROM license_importitem WHERE license_id = license.id OFFSET 0) AS of_license
) AS item ON item.id = change.import_item_id
WHERE change.id <> ALL(%(claimed)s::bigint[])
    AND coalesce(change.license_id, item.license_id) = ANY(%(license_ids)s::bigint[])
ORDER BY change.id
FOR UPDATE OF change SKIP LOCKED
