-- How things stand now: what waits, and how long it has, in seconds. Times are differences by PostgreSQL's own clock.
SELECT
    outbox.pending,
    extract(epoch FROM outbox.oldest_age) AS oldest_pending_seconds,
    (SELECT count(*) FROM ledger_quarantine) AS quarantined,
    -- the lock that a relay holds (ledger/sql/relay_arrives.sql)
    (
        SELECT count(DISTINCT pid) FROM pg_locks
        WHERE locktype = 'advisory' AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND classid = (x'4C630000'::bigint)::oid AND objid = 2 AND objsubid = 1
    ) AS relays,
    (SELECT extract(epoch FROM clock_timestamp() - counted_at) FROM ledger_tally) AS beat_seconds,
    upload.previews,
    upload.loads,
    extract(epoch FROM upload.oldest_age) AS oldest_upload_seconds,
    NOT EXISTS (
        SELECT FROM reconcile_reconciliationrun
        WHERE trigger = 'night' AND business_date = (statement_timestamp() AT TIME ZONE 'Asia/Kolkata')::date
    ) AS is_night_owed
FROM (
    SELECT count(*) AS pending, clock_timestamp() - min(created_at) AS oldest_age FROM ledger_licensechange
) AS outbox, (
    SELECT
        count(*) FILTER (WHERE state = 'preview') AS previews,
        count(*) FILTER (WHERE state = 'load') AS loads,
        clock_timestamp() - min(asked_at) AS oldest_age
    FROM ledger_upload
    WHERE state IN ('preview', 'load')
) AS upload
