-- The drift of an array of licenses: which of them have any, and its rows as JSON, for write_drift.sql. Nobody else reads
-- them, and a night may have millions. Differences that a pending change explains are no drift, and are left out.
SELECT
    coalesce(array_agg(DISTINCT license_id), '{}') AS license_ids,
    coalesce(json_agg(drift ORDER BY license_id, import_item_id NULLS FIRST, field COLLATE "C"), '[]')::text AS drift
FROM (
    /* include audit.sql */
) AS drift
WHERE cause <> 'lag'
