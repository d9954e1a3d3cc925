-- The next licenses to audit, by id: those there are, and those of which a balance is left.
--
-- Balances are looked for up to the last of the next licenses only (where there are not so many: to the end). A range
-- is read by index; DISTINCT with a LIMIT reads the whole table, as long as nothing is known of its statistics.
WITH license AS MATERIALIZED (
    SELECT id FROM license_license WHERE id > %(after)s ORDER BY id LIMIT %(at_most)s
), last AS MATERIALIZED (
    SELECT CASE WHEN count(*) = %(at_most)s THEN max(id) ELSE 9223372036854775807 END AS id FROM license
)
SELECT id AS license_id FROM license
UNION
SELECT license_id FROM ledger_licensebalance WHERE license_id > %(after)s AND license_id <= (SELECT id FROM last)
UNION
SELECT license_id FROM ledger_importitembalance WHERE license_id > %(after)s AND license_id <= (SELECT id FROM last)
ORDER BY license_id
LIMIT %(at_most)s
