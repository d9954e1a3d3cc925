-- Rows that are gone, as the trail saw them last.
SELECT DISTINCT ON (row_id) row_id, before::text
FROM ledger_trailentry
WHERE table_name = %(table)s AND owner_id = ANY(%(owner_ids)s::bigint[]) AND row_id = ANY(%(row_ids)s::bigint[])
    AND before IS NOT NULL
ORDER BY row_id, id DESC
