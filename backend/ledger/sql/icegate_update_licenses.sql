-- Licenses that we have and that the ledger tells something else of. What it leaves blank stays as it is. A presumed
-- expiry date follows the license date, as long as it is still the one that was presumed: another one is somebody's.
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
        greatest(incoming.as_of, license.ledger_as_of) AS ledger_as_of,
        presumed.still,
        CASE
            WHEN presumed.still THEN (incoming.license_date + interval '12 months')::date
            ELSE license.license_expiry_date
        END AS license_expiry_date
    FROM incoming_license AS incoming
    JOIN license_license AS license USING (license_number)
    JOIN license_company AS company ON company.iec = incoming.iec
    LEFT JOIN license_port AS port ON port.code = incoming.port_code
    CROSS JOIN LATERAL (
        SELECT license.license_expiry_date IS NULL OR (
            license.is_expiry_presumed
            AND license.license_expiry_date = (license.license_date + interval '12 months')::date
        ) AS still
    ) AS presumed
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
    ledger_as_of = told.ledger_as_of,
    license_expiry_date = told.license_expiry_date,
    is_expiry_presumed = told.still,
    modified_at = statement_timestamp()
FROM told
WHERE license.id = told.id
    AND (
        license.license_date, license.registration_number, license.registration_date, license.notification_number,
        license.scheme_code, license.currency, license.port_id, license.exporter_id, license.ledger_date,
        license.ledger_as_of, license.license_expiry_date, license.is_expiry_presumed
    ) IS DISTINCT FROM (
        told.license_date, told.registration_number, told.registration_date, told.notification_number,
        told.scheme_code, told.currency, told.port_id, told.exporter_id, told.ledger_date,
        told.ledger_as_of, told.license_expiry_date, told.still
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
