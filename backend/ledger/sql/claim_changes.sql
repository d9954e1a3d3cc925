-- Claims pending changes, oldest first: those of some transactions, or simply the oldest. Skips what another engine has
-- claimed, and what this one has found busy. Yields each with the one license that it means, if it means one; what may
-- mean several is for fan_out_changes.sql and resolve_changes.sql, and most batches have none of it.
--
-- A materialised CTE, so that LIMIT is applied once, before the rows are locked and not while plans are reordered.
WITH claimed AS MATERIALIZED (
    SELECT id, license_id, import_item_id
    FROM ledger_licensechange
    WHERE id <> ALL(%(busy)s::bigint[])
        AND (%(everything)s OR transaction_id = ANY(%(transaction_ids)s::text[]::xid8[]))
    ORDER BY id
    LIMIT %(at_most)s
    FOR UPDATE SKIP LOCKED
)
SELECT
    id,
    coalesce(license_id, (SELECT license_id FROM license_importitem WHERE id = claimed.import_item_id)) AS license_id,
    coalesce(license_id, import_item_id) IS NULL AS may_mean_several
FROM claimed
ORDER BY id
