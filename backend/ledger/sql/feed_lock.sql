-- Tries to become the one who gives positions, until the transaction ends. It must be a statement of its own, before the
-- one that gives them: only then does that one see all that the last one has given.
SELECT pg_try_advisory_xact_lock((x'4C63'::bigint << 48) | 3)
