-- Those of an array of licenses that a pending change means.
SELECT license_id FROM (
    /* include pending.sql */
) AS pending
WHERE license_id = ANY(%(license_ids)s::bigint[])
