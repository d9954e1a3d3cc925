-- Replaces the claimed changes that mean more licenses than one batch may lock by one change for each license, as old
-- as the oldest that meant it. Yields the ids of the replaced changes.
WITH resolved AS MATERIALIZED (
    /* include resolve_changes.sql */
), wide AS (
    SELECT change_id FROM resolved GROUP BY change_id HAVING count(*) > %(at_most)s
), narrow AS (
    INSERT INTO ledger_licensechange (license_id, source, operation, transaction_id, created_at)
    SELECT DISTINCT ON (resolved.license_id)
        resolved.license_id, change.source, change.operation, change.transaction_id, change.created_at
    FROM wide
    JOIN resolved ON resolved.change_id = wide.change_id
    JOIN ledger_licensechange AS change ON change.id = wide.change_id
    ORDER BY resolved.license_id, change.created_at
)
DELETE FROM ledger_licensechange WHERE id IN (SELECT change_id FROM wide) RETURNING id
