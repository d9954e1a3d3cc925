-- The oldest pending change, or NULL.
SELECT min(id) FROM ledger_licensechange
