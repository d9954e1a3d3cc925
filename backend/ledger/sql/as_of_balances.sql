-- What some licenses had left, with what was shown of it at the time. Before it stand the facts as of that time
-- (ledger/as_of.py).
SELECT
    license.license_number,
    coalesce(nullif(exporter.name, ''), exporter.iec, '') AS exporter,
    license.currency,
    license.license_date,
    license.license_expiry_date,
    round(ruled.credit_cif, 2) AS credit_cif,
    round(ruled.debited_cif, 2) AS debited_cif,
    round(ruled.allotted_cif, 2) AS allotted_cif,
    round(ruled.balance_cif, 2) AS balance_cif,
    round(ruled.overdrawn_cif, 2) AS overdrawn_cif,
    ruled.is_null,
    ruled.is_expired,
    shown.balance_cif AS shown_balance_cif
FROM license_license AS license
JOIN (
    SELECT DISTINCT ON (license_id) * FROM (
        /* include expected.sql */
    ) AS row_by_row
    ORDER BY license_id
) AS ruled ON ruled.license_id = license.id
LEFT JOIN license_company AS exporter ON exporter.id = license.exporter_id
LEFT JOIN LATERAL (
    SELECT balance_cif
    FROM ledger_balancehistory
    WHERE license_id = license.id AND changed_at <= %(known)s::timestamptz
    ORDER BY id DESC
    LIMIT 1
) AS shown ON true
ORDER BY license.id
