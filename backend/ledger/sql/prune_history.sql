-- Deletes history that is older than a moment, some of it at a time, in the order of its ids. The last row of each license
-- before that moment stays: what its balance was then is known for ever. Yields the last id that was looked at, NULL where
-- there was none, and how many rows were deleted.
WITH looked_at AS MATERIALIZED (
    SELECT id, license_id
    FROM ledger_balancehistory
    WHERE id > %(after)s AND changed_at < %(before)s
    ORDER BY id
    LIMIT %(at_most)s
), deleted AS (
    DELETE FROM ledger_balancehistory AS old
    USING looked_at
    WHERE old.id = looked_at.id
        AND EXISTS (
            SELECT FROM ledger_balancehistory AS later
            WHERE later.license_id = looked_at.license_id AND later.id > looked_at.id
                AND later.changed_at < %(before)s
        )
    RETURNING old.id
)
SELECT (SELECT max(id) FROM looked_at), (SELECT count(*) FROM deleted)
