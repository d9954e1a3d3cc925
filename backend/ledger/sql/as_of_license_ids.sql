-- The licenses that have a number, or had it since the trail began.
SELECT id FROM license_license WHERE license_number = %(license_number)s
UNION
SELECT owner_id
FROM ledger_trailentry
WHERE table_name = 'license_license' AND before ->> 'license_number' = %(license_number)s
