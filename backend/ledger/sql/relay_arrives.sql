-- A relay listens, and holds a lock by which others see that it is there. Both end with its session, which ends where
-- nothing is heard of it for a minute (its machine is gone, or stands still): it asks something every five seconds,
-- asleep or not, and no broker that hangs keeps it for as long.
SET idle_session_timeout = '60s';
SELECT pg_advisory_lock_shared((x'4C63'::bigint << 48) | 2);
LISTEN ledger_change;
