-- The facts of the licenses of an array, in the tables of django-computedfields (models.py). What it computes, it has yet
-- to compute.
INSERT INTO peers_license (
    id, license_number, license_expiry_date, notification_number, purchase_status, credit_cif, debited_cif,
    allotted_cif, balance_cif, overdrawn_cif, is_null, is_expired, first_carries_total, pools
)
SELECT id, license_number, license_expiry_date, notification_number, purchase_status, 0, 0, 0, 0, 0, true, false, false,
    '{}'
FROM license_license WHERE id = ANY(%(license_ids)s);
INSERT INTO peers_exportitem (id, license_id, norm_id, cif_fc)
SELECT id, license_id, norm_id, cif_fc FROM license_exportitem WHERE license_id = ANY(%(license_ids)s);
INSERT INTO peers_importitem (
    id, license_id, serial_number, quantity, cif_fc, cif_inr, restriction_percentage, debited_quantity, debited_value,
    allotted_quantity, allotted_value, available_quantity, overdrawn_quantity, available_value, overdrawn_value
)
SELECT id, license_id, serial_number, quantity, cif_fc, cif_inr, restriction_percentage, 0, 0, 0, 0, 0, 0, 0, 0
FROM license_importitem WHERE license_id = ANY(%(license_ids)s);
INSERT INTO peers_importitem_item_names (importitem_id, itemname_id)
SELECT importitem_id, itemname_id FROM license_importitem_item_names
WHERE importitem_id IN (SELECT id FROM peers_importitem);
INSERT INTO peers_billofentry (id, number) SELECT id, number FROM ledger_billofentry;
INSERT INTO peers_billofentryline (id, bill_of_entry_id, import_item_id, transaction_type, quantity, cif_fc)
SELECT id, bill_of_entry_id, import_item_id, transaction_type, quantity, cif_fc FROM ledger_billofentryline
WHERE import_item_id IN (SELECT id FROM peers_importitem);
INSERT INTO peers_allotment (id, is_released)
SELECT DISTINCT allotment_id, false FROM ledger_allotmentline WHERE import_item_id IN (SELECT id FROM peers_importitem);
INSERT INTO peers_allotmentline (id, allotment_id, import_item_id, quantity, cif_fc)
SELECT id, allotment_id, import_item_id, quantity, cif_fc FROM ledger_allotmentline
WHERE import_item_id IN (SELECT id FROM peers_importitem);
INSERT INTO peers_allotment_bills_of_entry (allotment_id, billofentry_id)
SELECT allotment_id, billofentry_id FROM ledger_allotment_bills_of_entry
WHERE allotment_id IN (SELECT id FROM peers_allotment);
SELECT setval('peers_billofentryline_id_seq', (SELECT max(id) FROM ledger_billofentryline));
VACUUM ANALYZE;
