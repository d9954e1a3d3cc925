-- The quarantined licenses whose next try is due.
SELECT license_id FROM ledger_quarantine WHERE next_try_at <= statement_timestamp() ORDER BY next_try_at
