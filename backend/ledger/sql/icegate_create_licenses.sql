-- Licenses that we do not have. No ledger knows the expiry date: 12 months from issue are presumed.
INSERT INTO license_license (
    license_number, license_date, license_expiry_date, is_expiry_presumed, registration_number, registration_date,
    notification_number, scheme_code, currency, port_id, exporter_id, ledger_date, ledger_as_of
)
SELECT
    incoming.license_number, incoming.license_date, (incoming.license_date + interval '12 months')::date, true,
    incoming.registration_number, incoming.registration_date, incoming.notification_number, incoming.scheme_code,
    incoming.currency, port.id, company.id, incoming.ledger_date, incoming.as_of
FROM incoming_license AS incoming
JOIN license_company AS company ON company.iec = incoming.iec
LEFT JOIN license_port AS port ON port.code = incoming.port_code
WHERE NOT EXISTS (SELECT FROM license_license AS license WHERE license.license_number = incoming.license_number)
ORDER BY incoming.license_number
RETURNING license_number, NULL AS note
