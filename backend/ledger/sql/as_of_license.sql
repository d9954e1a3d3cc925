-- Some licenses as of a time, with what was shown of their balances then. Before it stand the facts as of that time
-- (ledger/as_of.py).
SELECT license.*, shown.balance_cif AS shown_balance_cif, shown.changed_at AS shown_since
FROM license_license AS license
LEFT JOIN LATERAL (
    SELECT balance_cif, changed_at
    FROM ledger_balancehistory
    WHERE license_id = license.id AND changed_at <= %(known)s::timestamptz
    ORDER BY id DESC
    LIMIT 1
) AS shown ON true
