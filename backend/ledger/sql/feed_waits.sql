-- Whether there is history without a position.
SELECT EXISTS (SELECT FROM ledger_balancehistory WHERE position IS NULL)
