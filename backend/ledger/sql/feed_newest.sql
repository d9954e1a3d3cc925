-- The last position that anybody can see.
SELECT coalesce((SELECT max(position) FROM ledger_balancehistory WHERE position > 0), 0)
