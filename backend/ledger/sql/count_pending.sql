-- How many pending changes mean a license.
SELECT count(DISTINCT change_id)
FROM (
    /* include resolve_changes.sql */
) AS pending
WHERE license_id = %(license_id)s
