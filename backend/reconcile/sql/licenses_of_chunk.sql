-- The licenses of a range that there are, or of which a balance is left.
SELECT id FROM license_license WHERE id BETWEEN %(first)s AND %(last)s
UNION SELECT license_id FROM ledger_licensebalance WHERE license_id BETWEEN %(first)s AND %(last)s
UNION SELECT license_id FROM ledger_importitembalance WHERE license_id BETWEEN %(first)s AND %(last)s
