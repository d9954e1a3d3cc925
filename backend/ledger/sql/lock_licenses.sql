-- Tries the lock of each license, lowest id first, and waits for none. The locks are advisory and end with the
-- transaction; facts are never locked. It must be a statement of its own, before the one that computes: only then is
-- what that one sees younger than the lock. (The high bits keep our keys apart from other users of advisory locks.)
SELECT license_id, pg_try_advisory_xact_lock((x'4C62'::bigint << 48) | license_id)
FROM (SELECT license_id FROM unnest(%(license_ids)s::bigint[]) AS license_id ORDER BY license_id OFFSET 0) AS ordered
