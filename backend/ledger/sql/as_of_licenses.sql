-- Every license that there is, or has been since the trail began.
SELECT id FROM license_license
UNION
SELECT owner_id FROM ledger_trailentry WHERE table_name = 'license_license' AND after IS NULL
ORDER BY id
