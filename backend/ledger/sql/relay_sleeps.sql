-- A relay says that it wants to be woken. False: a writer is under way, or another relay sleeps already.
SELECT pg_try_advisory_lock((x'4C63'::bigint << 48) | 1)
