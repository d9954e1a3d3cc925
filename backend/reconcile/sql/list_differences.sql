-- The fields of the balances of an array of licenses that are not what the facts say, with their causes.
SELECT * FROM (
    /* include audit.sql */
) AS difference
ORDER BY license_number, serial_number NULLS FIRST, field
