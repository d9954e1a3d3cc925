-- What the pages show besides world.sql: one exporter for a hundred licenses, a file number and a currency for each, one
-- license in fifty that is overdrawn, one in ten that is expired; and of each item a description, of which every word is
-- that of one in twenty or one in a thousand, and one of 400 HS codes. Of every license customs' ledger is held; it does
-- not show one debit in a thousand, differs in one balance in five hundred, and may have used up one allotment in a
-- hundred. %(n)s licenses.
INSERT INTO license_company (iec, name)
SELECT lpad((g + 1)::text, 10, '0'), (ARRAY['Surat', 'Kochi', 'Pune', 'Morbi', 'Rajkot', 'Salem', 'Indore'])[1 + g %% 7]
    || (ARRAY[' Foods', ' Spices', ' Mills', ' Chemicals', ' Exports'])[1 + g %% 5] || ' ' || g
FROM generate_series(1, greatest(1, %(n)s / 100)) AS g ON CONFLICT DO NOTHING;
UPDATE license_license SET
    exporter_id = (SELECT min(id) FROM license_company) + 1 + id * 7919 %% greatest(1, %(n)s / 100),
    file_number = '03/24/040/' || lpad(id::text, 6, '0') || '/AM26',
    currency = CASE WHEN id %% 20 = 0 THEN 'EUR' ELSE 'USD' END,
    license_expiry_date = CASE WHEN id %% 10 = 0 THEN date '2025-01-01' ELSE license_expiry_date END;
INSERT INTO license_hscode (code) SELECT lpad((101 + g * 23)::text, 4, '0') || '0090' FROM generate_series(0, 399) AS g
ON CONFLICT DO NOTHING;
UPDATE license_importitem SET
    unit = 'KGS',
    hs_code_id = (SELECT min(id) FROM license_hscode) + id %% 400,
    description = (ARRAY[
        'Sugar', 'Cashew', 'Wheat', 'Palm', 'Milk', 'Cocoa', 'Almond', 'Acid', 'Steel', 'Copper', 'Cotton', 'Paper',
        'Starch', 'Gluten', 'Yeast', 'Pepper', 'Clove', 'Resin', 'Dyes', 'Glass'
    ])[1 + (id * 7919 / 8) %% 20] || ' of grade ' || id %% 1000;
UPDATE ledger_billofentryline SET cif_fc = 200000 WHERE import_item_id IN (
    SELECT id FROM license_importitem WHERE license_id %% 50 = 0 AND serial_number = 1
);
UPDATE ledger_billofentryline SET source = 'icegate' WHERE id %% 1000 <> 0;
UPDATE license_license SET ledger_as_of = '2026-07-01';
UPDATE ledger_allotment SET created_at = '2026-05-20' WHERE id %% 100 = 1;
INSERT INTO ledger_customsbalance (license_id, as_of, cif_fc, debited_cif_fc, balance_cif_fc)
SELECT license.id, '2026-07-01', credit.cif_fc, debit.cif_fc,
    trunc(credit.cif_fc - debit.cif_fc) - CASE WHEN license.id %% 500 = 0 THEN 200 ELSE 0 END
FROM license_license AS license
CROSS JOIN LATERAL (SELECT sum(cif_fc) AS cif_fc FROM license_exportitem WHERE license_id = license.id) AS credit
CROSS JOIN LATERAL (
    SELECT coalesce(sum(line.cif_fc), 0) AS cif_fc FROM license_importitem AS item
    JOIN ledger_billofentryline AS line ON line.import_item_id = item.id AND line.source = 'icegate'
    WHERE item.license_id = license.id
) AS debit;
TRUNCATE ledger_licensechange;
VACUUM ANALYZE;
