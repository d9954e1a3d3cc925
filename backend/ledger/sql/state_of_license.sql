-- What tells that something of a license has changed since it was looked at: its newest row of history, how many
-- changes are pending, how often it was tried in quarantine. Three texts.
SELECT coalesce((SELECT max(id) FROM ledger_balancehistory WHERE license_id = %(license_id)s), 0)::text
UNION ALL
SELECT ((
    /* include count_pending.sql */
))::text
UNION ALL
SELECT coalesce((SELECT attempts FROM ledger_quarantine WHERE license_id = %(license_id)s), 0)::text
