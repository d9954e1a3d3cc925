-- A relay listens, and holds a lock by which others see that it is there. Both end with its session.
SELECT pg_advisory_lock_shared((x'4C63'::bigint << 48) | 2);
LISTEN ledger_change;
