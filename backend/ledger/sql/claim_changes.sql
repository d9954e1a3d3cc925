-- Claims pending changes, oldest first: those that name one of the given ids and all else that was written in the
-- same transactions, or simply the oldest where no ids are given. Skips what another engine has claimed.
--
-- A materialised CTE, so that LIMIT is applied once, before the rows are locked and not while plans are reordered.
WITH claimed AS MATERIALIZED (
    SELECT id
    FROM ledger_licensechange
    WHERE id <> ALL(%(busy)s::bigint[])
        AND (
            %(everything)s
            OR transaction_id IN (
                SELECT transaction_id
                FROM ledger_licensechange
                WHERE license_id = ANY(%(license_ids)s::bigint[])
                    OR import_item_id = ANY(%(import_item_ids)s::bigint[])
                    OR allotment_id = ANY(%(allotment_ids)s::bigint[])
                    OR item_name_id = ANY(%(item_name_ids)s::bigint[])
            )
        )
    ORDER BY id
    LIMIT %(at_most)s
    FOR UPDATE SKIP LOCKED
)
SELECT id FROM claimed ORDER BY id
