-- Every incoming ledger knows its license from here on.
UPDATE incoming_license AS incoming
SET license_id = license.id
FROM license_license AS license
WHERE license.license_number = incoming.license_number
