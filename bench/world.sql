-- A world for measuring: n licenses of 8 import items of 4 lines (3 debits, 1 allotment line), every second allotment
-- released by a bill of entry that debits its items, every second item linked to a name, every fourth of those names a
-- restriction of the license's own norm. Run again with a greater n, it grows: each statement goes on after the last
-- license, item or allotment that it finds.
INSERT INTO license_sionnorm (code) SELECT 'E' || g FROM generate_series(1, 20) AS g ON CONFLICT DO NOTHING;
INSERT INTO license_itemname (name, sion_norm_id, restriction_percentage)
SELECT 'name ' || g, g %% 20 + 1, CASE WHEN g %% 4 = 0 THEN 5 ELSE 0 END FROM generate_series(1, 200) AS g
WHERE NOT EXISTS (SELECT FROM license_itemname);
INSERT INTO license_company (iec) VALUES ('0000000001') ON CONFLICT DO NOTHING;
INSERT INTO license_license (license_number, license_date, license_expiry_date)
SELECT lpad(g::text, 10, '0'), date '2026-01-01' + (g %% 300)::int, date '2027-01-01' + (g %% 300)::int
FROM generate_series((SELECT coalesce(max(id), 0) + 1 FROM license_license), %(n)s) AS g;
INSERT INTO license_exportitem (license_id, cif_fc, norm_id)
SELECT id, 10000 + id * 7919 %% 90000, id %% 20 + 1 FROM license_license
WHERE id > (SELECT coalesce(max(license_id), 0) FROM license_exportitem);
INSERT INTO license_importitem (license_id, serial_number, quantity, cif_fc, cif_inr)
SELECT l.id, s, 1000, CASE WHEN s = 1 THEN 10000 + l.id * 7919 %% 90000 WHEN l.id %% 3 = 0 THEN 500 ELSE 0 END, 0
FROM license_license AS l, generate_series(1, 8) AS s
WHERE l.id > (SELECT coalesce(max(license_id), 0) FROM license_importitem) ORDER BY l.id, s;
INSERT INTO license_importitem_item_names (importitem_id, itemname_id)
SELECT i.id, n.id FROM license_importitem AS i
JOIN license_exportitem AS e ON e.license_id = i.license_id
JOIN LATERAL (
    SELECT id FROM license_itemname WHERE sion_norm_id = e.norm_id ORDER BY id OFFSET i.serial_number LIMIT 1
) AS n ON true
WHERE i.serial_number %% 2 = 0
    AND i.id > (SELECT coalesce(max(importitem_id), 0) FROM license_importitem_item_names);
INSERT INTO ledger_billofentry (number, date)
SELECT g, date '2026-06-01' FROM generate_series((SELECT coalesce(max(id), 0) + 1 FROM ledger_billofentry), %(n)s) AS g;
INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, quantity, cif_fc)
SELECT 1 + (i.license_id - 1 + k) %% %(n)s, i.id, 10, 100 + i.id %% 50
FROM license_importitem AS i, generate_series(0, 2) AS k
WHERE i.id > (SELECT coalesce(max(import_item_id), 0) FROM ledger_billofentryline);
INSERT INTO ledger_allotment (company_id)
SELECT c.id FROM license_company AS c, generate_series((SELECT coalesce(max(id), 0) + 1 FROM ledger_allotment), %(n)s);
INSERT INTO ledger_allotmentline (allotment_id, import_item_id, quantity, cif_fc)
SELECT license_id, id, 5, 50 FROM license_importitem
WHERE id > (SELECT coalesce(max(import_item_id), 0) FROM ledger_allotmentline);
INSERT INTO ledger_allotment_bills_of_entry (allotment_id, billofentry_id)
SELECT id, id FROM ledger_allotment
WHERE id %% 2 = 0 AND id > (SELECT coalesce(max(allotment_id), 0) FROM ledger_allotment_bills_of_entry);
TRUNCATE ledger_licensechange;
VACUUM ANALYZE;
