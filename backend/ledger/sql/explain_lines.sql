-- All that counts in the balance of one license: its credits, debits, and what allotments reserve, in the order in which
-- people read them.
SELECT
    'credit' AS kind,
    export.id AS document_id,
    NULL AS number,
    NULL AS iec,
    license.license_date AS day,
    norm.code AS code,
    export.description AS name,
    export.source,
    export.cif_fc,
    export.net_quantity AS quantity,
    NULL::integer AS serial_number,
    NULL::date AS disputed_since,
    NULL::date AS last_day
FROM license_exportitem AS export
JOIN license_license AS license ON license.id = export.license_id
LEFT JOIN license_sionnorm AS norm ON norm.id = export.norm_id
WHERE export.license_id = ANY(%(license_ids)s::bigint[])
UNION ALL
SELECT
    'debit', bill.id, bill.number, NULL, bill.date, port.code, NULL, line.source, line.cif_fc, line.quantity,
    item.serial_number, line.disputed_since, NULL
FROM license_importitem AS item
JOIN ledger_billofentryline AS line ON line.import_item_id = item.id
JOIN ledger_billofentry AS bill ON bill.id = line.bill_of_entry_id
LEFT JOIN license_port AS port ON port.id = bill.port_id
WHERE item.license_id = ANY(%(license_ids)s::bigint[]) AND line.transaction_type = 'D'
UNION ALL
SELECT
    'allotment', allotment.id, NULL, company.iec, (allotment.created_at AT TIME ZONE 'Asia/Kolkata')::date,
    allotment.type, company.name, NULL, line.cif_fc, line.quantity, item.serial_number, NULL, allotment.last_day
FROM license_importitem AS item
JOIN ledger_allotmentline AS line ON line.import_item_id = item.id
JOIN ledger_allotment AS allotment ON allotment.id = line.allotment_id
LEFT JOIN license_company AS company ON company.id = allotment.company_id
WHERE item.license_id = ANY(%(license_ids)s::bigint[])
    AND NOT EXISTS (SELECT FROM ledger_allotment_bills_of_entry AS link WHERE link.allotment_id = allotment.id)
    AND NOT EXISTS (SELECT FROM ledger_allotmentrelease AS release WHERE release.allotment_id = allotment.id)
ORDER BY day NULLS FIRST, number, document_id, serial_number
