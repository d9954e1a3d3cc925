-- Waits for the lock of each license that somebody is about to draw on, lowest id first. Who draws holds it from before
-- the look at what is left until the commit, so that two never count on the same rest. Advisory, and kept apart from the
-- engine's (lock_licenses.sql): facts are not locked, and the engine waits for nobody.
SELECT pg_advisory_xact_lock((x'4C64'::bigint << 48) | license_id)
FROM (SELECT license_id FROM unnest(%(license_ids)s::bigint[]) AS license_id ORDER BY license_id OFFSET 0) AS ordered
