-- The exporters that we do not know yet, by IEC.
INSERT INTO license_company (iec)
SELECT DISTINCT iec
FROM incoming_license AS incoming
WHERE NOT EXISTS (SELECT FROM license_company AS known WHERE known.iec = incoming.iec)
ORDER BY iec
ON CONFLICT (iec) DO NOTHING
