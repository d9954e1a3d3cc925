-- How many are open of each kind of which there are any.
SELECT kind, count(*)
FROM (
    /* include mismatches.sql */
) AS mismatch
GROUP BY kind
