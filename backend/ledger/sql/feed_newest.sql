-- The last position that anybody can see, and the last that was ever drawn.
SELECT
    coalesce((SELECT max(position) FROM ledger_balancehistory WHERE position > 0), 0),
    (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM ledger_balancehistory_position_seq)
