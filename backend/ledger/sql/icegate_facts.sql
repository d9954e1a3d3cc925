-- What a ledger can write of a license: the facts of the incoming licenses, a row for each, with text for every value.
SELECT
    incoming.license_number,
    'license' AS kind,
    license.id,
    NULL::integer AS serial_number,
    NULL::text AS bill,
    jsonb_build_object(
        'license_date', license.license_date::text,
        'license_expiry_date', license.license_expiry_date::text,
        'is_expiry_presumed', license.is_expiry_presumed::text,
        'registration_number', nullif(license.registration_number, ''),
        'registration_date', license.registration_date::text,
        'notification_number', nullif(license.notification_number, ''),
        'scheme_code', license.scheme_code,
        'currency', license.currency,
        'port', port.code,
        'exporter', company.iec,
        'ledger_date', license.ledger_date::text,
        'ledger_as_of', license.ledger_as_of::text
    ) AS facts
FROM incoming_license AS incoming
JOIN license_license AS license USING (license_number)
LEFT JOIN license_port AS port ON port.id = license.port_id
LEFT JOIN license_company AS company ON company.id = license.exporter_id
UNION ALL
SELECT
    incoming.license_number, 'export item', item.id, NULL, NULL,
    jsonb_build_object(
        'net_quantity', item.net_quantity::text, 'cif_fc', item.cif_fc::text, 'cif_inr', item.cif_inr::text
    )
FROM incoming_license AS incoming
JOIN license_license AS license USING (license_number)
JOIN license_exportitem AS item ON item.license_id = license.id AND item.source = 'icegate'
UNION ALL
SELECT
    incoming.license_number, 'import item', item.id, item.serial_number, NULL,
    jsonb_build_object('quantity', item.quantity::text, 'cif_fc', item.cif_fc::text, 'cif_inr', item.cif_inr::text)
FROM incoming_license AS incoming
JOIN license_license AS license USING (license_number)
JOIN license_importitem AS item ON item.license_id = license.id
UNION ALL
SELECT
    incoming.license_number, 'debit', line.id, item.serial_number, bill.number,
    jsonb_build_object(
        'bill_date', bill.date::text,
        'port', port.code,
        'quantity', line.quantity::text,
        'cif_fc', line.cif_fc::text,
        'cif_inr', line.cif_inr::text,
        'source', line.source,
        'disputed_since', line.disputed_since::text
    )
FROM incoming_license AS incoming
JOIN license_license AS license USING (license_number)
JOIN license_importitem AS item ON item.license_id = license.id
JOIN ledger_billofentryline AS line ON line.import_item_id = item.id AND line.transaction_type = 'D'
JOIN ledger_billofentry AS bill ON bill.id = line.bill_of_entry_id
LEFT JOIN license_port AS port ON port.id = bill.port_id
