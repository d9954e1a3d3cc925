-- Tries to become the one who counts, until the transaction ends: 4 as relay and feed have 2 and 3.
SELECT pg_try_advisory_xact_lock((x'4C63'::bigint << 48) | 4)
