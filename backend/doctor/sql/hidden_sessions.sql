-- How many sessions of others in this database we are told nothing of. Pages and workers are not counted: the doctor is
-- asked as each of them, and sees its own.
SELECT count(*) AS sessions
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND query = '<insufficient privilege>'
    AND usename NOT IN ('license_web', 'license_worker')
