-- Of these licenses, those of which somebody else holds a row of a balance.
WITH free_license AS MATERIALIZED (
    SELECT license_id FROM ledger_licensebalance
    WHERE license_id = ANY(%(license_ids)s::bigint[])
    FOR NO KEY UPDATE SKIP LOCKED
), free_item AS MATERIALIZED (
    SELECT license_id, import_item_id FROM ledger_importitembalance
    WHERE license_id = ANY(%(license_ids)s::bigint[])
    FOR NO KEY UPDATE SKIP LOCKED
)
SELECT license_id FROM ledger_licensebalance
WHERE license_id = ANY(%(license_ids)s::bigint[]) AND license_id NOT IN (SELECT license_id FROM free_license)
UNION
SELECT license_id FROM ledger_importitembalance
WHERE license_id = ANY(%(license_ids)s::bigint[])
    AND (license_id, import_item_id) NOT IN (SELECT license_id, import_item_id FROM free_item)
