-- Deletes history that is older than a moment, some of it at a time, oldest first. The last row of each license before
-- that moment stays: what its balance was then is known for ever.
DELETE FROM ledger_balancehistory
WHERE id IN (
    SELECT old.id
    FROM ledger_balancehistory AS old
    WHERE old.changed_at < %(before)s
        AND EXISTS (
            SELECT FROM ledger_balancehistory AS later
            WHERE later.license_id = old.license_id AND later.id > old.id AND later.changed_at < %(before)s
        )
    ORDER BY old.id
    LIMIT %(at_most)s
)
