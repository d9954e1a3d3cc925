-- The newest pending changes: of a long queue only so many.
SELECT id FROM ledger_licensechange ORDER BY id DESC LIMIT %(at_most)s::bigint
