-- The newest run of each kind: what it is of, how it stands, how long it took or has taken so far, what it found.
SELECT
    run.trigger,
    run.status,
    extract(epoch FROM run.business_date::timestamp AT TIME ZONE 'Asia/Kolkata') AS business_date_seconds,
    extract(epoch FROM coalesce(run.finished_at, clock_timestamp()) - run.started_at) AS duration_seconds,
    run.licenses_checked AS checked,
    run.licenses_drifted AS drifted,
    run.licenses_repaired AS repaired,
    run.drift_counts,
    run.mail_error <> '' AS is_mail_failing
FROM unnest(ARRAY['night', 'manual']) AS kind (trigger)
JOIN LATERAL (
    SELECT * FROM reconcile_reconciliationrun WHERE trigger = kind.trigger ORDER BY id DESC LIMIT 1
) AS run ON true
