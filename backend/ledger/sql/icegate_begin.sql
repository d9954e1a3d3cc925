-- One load of ledgers at a time: a bill of entry stands on many licenses, and two loads that met on bills in another
-- order would deadlock. A load waits a minute for another one, and a few seconds for rows that somebody else holds.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET LOCAL lock_timeout = '60s';
SELECT pg_advisory_xact_lock(x'4C63'::bigint << 48);
SET LOCAL lock_timeout = '5s';
