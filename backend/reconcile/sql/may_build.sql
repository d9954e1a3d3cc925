-- Whether this role may write balances, as the worker's may.
SELECT has_table_privilege('ledger_licensebalance', 'INSERT') AND NOT current_setting('transaction_read_only')::boolean
