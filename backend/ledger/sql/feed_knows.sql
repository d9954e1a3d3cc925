-- Whether a position is of a change that is here.
SELECT EXISTS (
    SELECT FROM ledger_balancehistory
    WHERE position > 0 -- says the index too
        AND position = %(position)s
)
