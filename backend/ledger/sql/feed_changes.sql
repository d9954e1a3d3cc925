-- Changes of balances by position, after one and up to another, no more than so many; with the number of the license,
-- while there is one.
SELECT history.*, license.license_number
FROM (
    SELECT
        position, license_id, changed_at, sources, credit_cif, debited_cif, allotted_cif, balance_cif, overdrawn_cif,
        is_null, is_expired, previous_balance_cif, previous_overdrawn_cif, was_null, was_expired
    FROM ledger_balancehistory
    WHERE position > 0 -- says the index too
        AND position > %(after)s AND position <= %(until)s
    ORDER BY position
    LIMIT %(at_most)s
) AS history
LEFT JOIN license_license AS license ON license.id = history.license_id
ORDER BY history.position
