-- How far balances are behind their facts, now and in the last hour, and who looks after them.
SELECT
    outbox.pending,
    outbox.oldest_age,
    coalesce(history.recomputes, 0) AS recomputes,
    history.latencies[1] AS median_latency,
    history.latencies[2] AS p90_latency,
    history.latencies[3] AS p99_latency,
    (SELECT count(*) FROM ledger_quarantine) AS quarantined,
    -- the lock that a relay holds (ledger/sql/relay_arrives.sql)
    (
        SELECT count(DISTINCT pid) FROM pg_locks
        WHERE locktype = 'advisory' AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND classid = (x'4C630000'::bigint)::oid AND objid = 2 AND objsubid = 1
    ) AS relays
FROM (
    SELECT count(*) AS pending, clock_timestamp() - min(created_at) AS oldest_age FROM ledger_licensechange
) AS outbox, (
    SELECT
        count(*) AS recomputes,
        percentile_disc(ARRAY[0.5, 0.9, 0.99]) WITHIN GROUP (ORDER BY changed_at - first_change_at) AS latencies
    FROM ledger_balancehistory
    WHERE changed_at > statement_timestamp() - interval '1 hour'
        AND first_change_at IS NOT NULL
        -- what had to be corrected by somebody first tells nothing about us
        AND sources <> ARRAY['ledger_quarantine']
) AS history
