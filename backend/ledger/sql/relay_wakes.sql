-- A relay says that it looks by itself.
SELECT pg_advisory_unlock((x'4C63'::bigint << 48) | 1)
