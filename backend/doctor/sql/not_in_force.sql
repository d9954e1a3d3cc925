-- Constraints of ours that were not validated, and indexes that are not used since they were not made to the end.
SELECT 'constraint' AS kind, quote_ident(conname) AS name, conrelid::regclass::text AS table
FROM pg_constraint
WHERE NOT convalidated AND connamespace = 'public'::regnamespace
UNION ALL
SELECT 'index', indexrelid::regclass::text, indrelid::regclass::text
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE NOT (indisvalid AND indisready AND indislive) AND relnamespace = 'public'::regnamespace
ORDER BY kind, name
