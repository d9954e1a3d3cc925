-- Of history after a position of the feed, and of what has none yet unless only what is published is wanted: how many
-- recomputes changed a balance, by what asked for them, and how long the balance came after the oldest write that asked,
-- by buckets. What somebody had to correct first, in quarantine, tells nothing about how quick we are.
--
-- Two parts, each by its index: an OR of the two would read all history.
WITH uncounted AS MATERIALIZED (
    SELECT position, first_change_at, changed_at, sources
    FROM ledger_balancehistory
    WHERE position > 0 -- says the index too
        AND position > %(position)s
    UNION ALL
    SELECT position, first_change_at, changed_at, sources FROM ledger_balancehistory
    WHERE position IS NULL AND NOT %(is_published)s
), recompute AS (
    SELECT
        position,
        CASE
            WHEN first_change_at IS NULL THEN 'night'
            WHEN sources = ARRAY['ledger_quarantine'] THEN 'retry'
            ELSE 'change'
        END AS because,
        greatest(extract(epoch FROM changed_at - first_change_at), 0) AS seconds
    FROM uncounted
), bucket AS (
    SELECT
        -- the bounds belong to their buckets, and these have lower ones; moments have microseconds
        width_bucket(seconds - 0.000001, %(bounds)s::numeric[]) AS number,
        count(*) AS count,
        sum(seconds) AS seconds
    FROM recompute
    WHERE because = 'change'
    GROUP BY 1
)
SELECT
    coalesce(max(position), %(position)s) AS position,
    count(*) FILTER (WHERE because = 'change') AS for_changes,
    count(*) FILTER (WHERE because = 'retry') AS for_retries,
    count(*) FILTER (WHERE because = 'night') AS for_night,
    ARRAY(
        SELECT coalesce(bucket.count, 0)
        FROM generate_series(0, cardinality(%(bounds)s::numeric[])) AS each (number)
        LEFT JOIN bucket ON bucket.number = each.number
        ORDER BY each.number
    ) AS latency_counts,
    coalesce((SELECT sum(seconds) FROM bucket), 0) AS latency_seconds
FROM recompute
