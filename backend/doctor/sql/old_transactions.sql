-- Transactions that have been open for long, as far as we are told of others': of sessions, and prepared ones of nobody.
SELECT
    format('Session %%s of %%s (%%s)', pid, usename, coalesce(nullif(application_name, ''), 'nameless')) AS whose,
    date_trunc('second', clock_timestamp() - xact_start)::text AS age,
    format('Find out what it does; SELECT pg_terminate_backend(%%s) ends it', pid) AS do
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    AND xact_start < clock_timestamp() - %(longest)s
UNION ALL
SELECT
    format('Nobody any more (prepared transaction %%L)', gid), date_trunc('second', clock_timestamp() - prepared)::text,
    format('ROLLBACK PREPARED %%L ends it, if no transaction manager knows it', gid)
FROM pg_prepared_xacts
WHERE database = current_database() AND prepared < clock_timestamp() - %(longest)s
ORDER BY whose
