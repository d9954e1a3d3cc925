-- Yields (id, license_number) of those licenses that exist, locked in the order of their ids.
SELECT id, license_number
FROM license_license
WHERE license_number = ANY(%(license_numbers)s::text[])
ORDER BY id
FOR NO KEY UPDATE
