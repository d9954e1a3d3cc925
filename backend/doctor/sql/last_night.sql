-- The newest night; whether another one is owed by now, with ten minutes in which it may begin; whether it takes long.
SELECT
    business_date, status, findings_error, mail_error, drift_counts,
    business_date < ((statement_timestamp() - interval '10 minutes') AT TIME ZONE 'Asia/Kolkata')::date AS is_owed,
    status = 'running' AND started_at < statement_timestamp() - %(longest)s AS is_late,
    date_trunc('minute', statement_timestamp() - started_at)::text AS age
FROM reconcile_reconciliationrun
WHERE trigger = 'night'
ORDER BY business_date DESC
LIMIT 1
