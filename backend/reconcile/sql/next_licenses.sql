-- The next licenses to audit, by id: those there are, and those of which a balance is left.
SELECT license_id
FROM (
    (SELECT id AS license_id FROM license_license WHERE id > %(after)s ORDER BY id LIMIT %(at_most)s)
    UNION
    (SELECT license_id FROM ledger_licensebalance WHERE license_id > %(after)s ORDER BY license_id LIMIT %(at_most)s)
    UNION
    (
        SELECT DISTINCT license_id FROM ledger_importitembalance
        WHERE license_id > %(after)s ORDER BY license_id LIMIT %(at_most)s
    )
) AS every
ORDER BY license_id
LIMIT %(at_most)s
