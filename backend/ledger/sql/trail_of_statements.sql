-- What some statements have written, those of the newest first.
SELECT id, table_name, row_id, before::text, after::text, statement_id
FROM ledger_trailentry
WHERE statement_id = ANY(%(statement_ids)s::bigint[])
ORDER BY statement_id DESC, id
