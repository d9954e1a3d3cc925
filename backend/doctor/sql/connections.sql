-- Connections in use and allowed: of the server, of the database and of our role; -1: without a limit.
SELECT 'the server' AS whose, 'max_connections' AS setting,
    (
        SELECT sum(CASE name WHEN 'max_connections' THEN setting::int ELSE -setting::int END) FROM pg_settings
        WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')
    ) AS most,
    count(datid) AS used -- of others' sessions we are told no more
FROM pg_stat_activity
UNION ALL
SELECT 'the database', 'its limit (ALTER DATABASE … CONNECTION LIMIT …)', datconnlimit,
    (SELECT count(*) FROM pg_stat_activity AS session WHERE session.datid = pg_database.oid)
FROM pg_database WHERE datname = current_database()
UNION ALL
SELECT 'the role ' || rolname, 'its limit (ALTER ROLE … CONNECTION LIMIT …)', rolconnlimit,
    (SELECT count(*) FROM pg_stat_activity AS session WHERE session.usesysid = pg_roles.oid)
FROM pg_roles WHERE rolname = current_user
