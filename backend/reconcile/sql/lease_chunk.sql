-- Takes the next chunk that is open and nobody's: never taken, or the lease of whoever took it is over.
UPDATE reconcile_reconciliationchunk
SET leased_until = statement_timestamp() + make_interval(secs => %(lease_seconds)s), attempts = attempts + 1
WHERE id = (
    SELECT id FROM reconcile_reconciliationchunk
    WHERE run_id = %(run_id)s
        AND finished_at IS NULL
        AND attempts < %(attempts)s
        AND (leased_until IS NULL OR leased_until < statement_timestamp())
    ORDER BY attempts, id -- what failed comes last: its trouble may have passed by then
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING id, first_license_id, last_license_id, attempts
