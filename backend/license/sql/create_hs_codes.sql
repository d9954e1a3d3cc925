-- Creates those HS codes that are not there yet; in one order, for others may be creating them too.
INSERT INTO license_hscode (code)
SELECT code FROM unnest(%(codes)s::text[]) AS wanted (code) ORDER BY code
ON CONFLICT (code) DO NOTHING
