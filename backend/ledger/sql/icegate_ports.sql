-- The custom houses that we do not know yet, by code.
INSERT INTO license_port (code)
SELECT code FROM (
    SELECT port_code AS code FROM incoming_license
    UNION SELECT port_code FROM incoming_debit
) AS seen
WHERE code <> '' AND NOT EXISTS (SELECT FROM license_port AS known WHERE known.code = seen.code)
ORDER BY code
ON CONFLICT (code) DO NOTHING
