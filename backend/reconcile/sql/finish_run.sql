-- Ends a run that has nothing left to work on: every chunk is finished, or has failed as often as it may. Whoever comes
-- first ends it; the others change nothing. The totals are counted from what the chunks wrote; a license is repaired when
-- all of its drift is.
UPDATE reconcile_reconciliationrun AS run
SET finished_at = statement_timestamp(),
    status = CASE WHEN failed.chunks = 0 THEN 'complete' ELSE 'incomplete' END,
    licenses_drifted = found.drifted,
    licenses_expired = found.expired,
    licenses_repaired = found.drifted - found.unrepaired,
    drift_counts = found.by_cause,
    licenses_quarantined = (SELECT count(*) FROM ledger_quarantine)
FROM (
    SELECT
        count(*) FILTER (WHERE finished_at IS NULL) AS chunks,
        count(*) FILTER (
            WHERE finished_at IS NULL
                AND (attempts < %(attempts)s OR leased_until > statement_timestamp())
        ) AS open_chunks
    FROM reconcile_reconciliationchunk
    WHERE run_id = %(run_id)s
) AS failed, (
    SELECT
        count(DISTINCT license_id) FILTER (WHERE cause <> 'expiry') AS drifted,
        count(DISTINCT license_id) FILTER (WHERE cause IN ('expiry', 'missed expiry')) AS expired,
        count(DISTINCT license_id) FILTER (WHERE cause <> 'expiry' AND NOT repaired) AS unrepaired,
        (
            SELECT coalesce(jsonb_object_agg(cause, fields), '{}')
            FROM (
                SELECT cause, count(*) AS fields
                FROM reconcile_drift
                WHERE run_id = %(run_id)s AND cause <> 'expiry'
                GROUP BY cause
            ) AS counted
        ) AS by_cause
    FROM reconcile_drift
    WHERE run_id = %(run_id)s
) AS found
WHERE run.id = %(run_id)s AND run.status = 'running' AND failed.open_chunks = 0
