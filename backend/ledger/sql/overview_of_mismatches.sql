-- How many mismatches are open of each kind, and so many of one kind: of the one that is asked for, or else of the first
-- of which there are any. All in one, for to look for them takes seconds among a hundred thousand licenses. A row without
-- a mismatch: none is open of that kind. What lies beyond the last part is the last part.
WITH mismatch AS MATERIALIZED (
    /* include mismatches.sql */
), counted AS (
    SELECT kind, count(*) AS number FROM mismatch GROUP BY kind
), chosen AS (
    SELECT kind, coalesce((SELECT number FROM counted WHERE counted.kind = wanted.kind), 0) AS number
    FROM (
        SELECT coalesce(
            %(asked)s::text,
            (SELECT kind FROM counted ORDER BY array_position(%(kinds)s::text[], kind) LIMIT 1)
        ) AS kind
    ) AS wanted
)
SELECT (SELECT coalesce(jsonb_object_agg(kind, number), '{}') FROM counted) AS counts, chosen.kind AS chosen, shown.*
FROM chosen
LEFT JOIN LATERAL (
    SELECT mismatch.*, license.license_number, license.currency
    FROM mismatch
    JOIN license_license AS license ON license.id = mismatch.license_id
    WHERE mismatch.kind = chosen.kind
    ORDER BY
        license.currency, abs(mismatch.amount) DESC, license.license_number, mismatch.serial_number,
        mismatch.subject_id
    LIMIT %(count)s OFFSET least(%(start)s::bigint, greatest(chosen.number - 1, 0) / %(count)s * %(count)s)
) AS shown ON true
