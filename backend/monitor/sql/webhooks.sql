-- Each webhook, with how many positions of the feed it is behind, and for how long it has been failing, in seconds.
SELECT
    webhook.id,
    webhook.state,
    greatest(newest.position - webhook.position, 0) + newest.unpublished AS behind,
    CASE
        WHEN webhook.state = 'paused' THEN 0 -- somebody wants it so, and nothing is sent that could fail
        ELSE coalesce(extract(epoch FROM clock_timestamp() - webhook.failing_since), 0)
    END AS failing_seconds
FROM api_webhook AS webhook, (
    SELECT
        coalesce((SELECT max(position) FROM ledger_balancehistory WHERE position > 0), 0) AS position,
        (SELECT count(*) FROM ledger_balancehistory WHERE position IS NULL) AS unpublished
) AS newest
ORDER BY webhook.id
