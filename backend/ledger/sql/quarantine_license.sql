-- Puts a license whose recompute failed by itself into quarantine: tried again after a minute, then after ever longer.
WITH counted AS (
    INSERT INTO ledger_failure (license_id) VALUES (%(license_id)s)
)
INSERT INTO ledger_quarantine AS held (license_id, error, attempts, first_failed_at, next_try_at)
VALUES (%(license_id)s, %(error)s, 1, statement_timestamp(), statement_timestamp() + interval '1 minute')
ON CONFLICT (license_id) DO UPDATE SET
    error = excluded.error,
    attempts = held.attempts + 1,
    next_try_at = statement_timestamp() + least(interval '1 minute' * 2 ^ least(held.attempts, 10), interval '6 hours')
