-- Licenses that we have and that the ledger tells something else of. What it leaves blank stays as it is; so does an
-- expiry date that somebody knows. A presumed one follows the license date: a DFIA is valid for 12 months.
WITH told AS (
    SELECT
        license.id,
        incoming.license_number,
        license.exporter_id AS exporter_before,
        incoming.license_date,
        coalesce(nullif(incoming.registration_number, ''), license.registration_number) AS registration_number,
        coalesce(incoming.registration_date, license.registration_date) AS registration_date,
        coalesce(nullif(incoming.notification_number, ''), license.notification_number) AS notification_number,
        incoming.scheme_code,
        incoming.currency,
        coalesce(port.id, license.port_id) AS port_id,
        company.id AS exporter_id,
        greatest(incoming.ledger_date, license.ledger_date) AS ledger_date,
        CASE
            WHEN license.license_expiry_date IS NULL OR license.is_expiry_presumed
                THEN (incoming.license_date + interval '12 months')::date
            ELSE license.license_expiry_date
        END AS license_expiry_date,
        license.license_expiry_date IS NULL OR license.is_expiry_presumed AS is_expiry_presumed
    FROM incoming_license AS incoming
    JOIN license_license AS license USING (license_number)
    JOIN license_company AS company ON company.iec = incoming.iec
    LEFT JOIN license_port AS port ON port.code = incoming.port_code
    ORDER BY license.id
    FOR NO KEY UPDATE OF license
)
UPDATE license_license AS license
SET license_date = told.license_date,
    registration_number = told.registration_number,
    registration_date = told.registration_date,
    notification_number = told.notification_number,
    scheme_code = told.scheme_code,
    currency = told.currency,
    port_id = told.port_id,
    exporter_id = told.exporter_id,
    ledger_date = told.ledger_date,
    license_expiry_date = told.license_expiry_date,
    is_expiry_presumed = told.is_expiry_presumed,
    modified_at = statement_timestamp()
FROM told
WHERE license.id = told.id
    AND (
        license.license_date, license.registration_number, license.registration_date, license.notification_number,
        license.scheme_code, license.currency, license.port_id, license.exporter_id, license.ledger_date,
        license.license_expiry_date, license.is_expiry_presumed
    ) IS DISTINCT FROM (
        told.license_date, told.registration_number, told.registration_date, told.notification_number,
        told.scheme_code, told.currency, told.port_id, told.exporter_id, told.ledger_date,
        told.license_expiry_date, told.is_expiry_presumed
    )
RETURNING
    told.license_number,
    CASE
        WHEN told.exporter_before <> told.exporter_id THEN format(
            'the exporter was IEC %%s, and is IEC %%s by this ledger',
            (SELECT iec FROM license_company WHERE id = told.exporter_before),
            (SELECT iec FROM license_company WHERE id = told.exporter_id)
        )
    END AS note
