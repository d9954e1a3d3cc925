-- Claims pending changes, oldest first: those of some transactions, or simply the oldest. Skips what another engine has
-- claimed, and what this one has found busy.
--
-- A materialised CTE, so that LIMIT is applied once, before the rows are locked and not while plans are reordered.
WITH claimed AS MATERIALIZED (
    SELECT id
    FROM ledger_licensechange
    WHERE id <> ALL(%(busy)s::bigint[])
        AND (%(everything)s OR transaction_id = ANY(%(transaction_ids)s::text[]::xid8[]))
    ORDER BY id
    LIMIT %(at_most)s
    FOR UPDATE SKIP LOCKED
)
SELECT id FROM claimed ORDER BY id
