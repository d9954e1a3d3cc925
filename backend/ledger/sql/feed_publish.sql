-- Gives history without a position the next ones, lowest id first, some of it at a time. Of one license the lowest id is
-- the oldest: engines write its history one after another (lock_licenses.sql).
WITH next AS MATERIALIZED (
    SELECT id, nextval('ledger_balancehistory_position_seq') AS position
    FROM (SELECT id FROM ledger_balancehistory WHERE position IS NULL ORDER BY id LIMIT %(at_most)s) AS unpublished
)
UPDATE ledger_balancehistory AS history SET position = next.position FROM next WHERE history.id = next.id
