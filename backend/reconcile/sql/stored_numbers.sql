-- What is stored of the licenses of an array besides facts, and is not what the facts say: in our balance tables, and in
-- columns by the same names that another system has left beside the facts. Yields one row: how many numbers and flags
-- were compared, and those that differ. What is not there, or NULL, is not compared.
--
-- Rows are read as JSON, for nobody knows which columns there are.
WITH expected AS MATERIALIZED (
    /* include expected.sql */
), number AS (
    SELECT license_id, NULL::bigint AS import_item_id, table_name, field, image ->> field AS stored, expected
    FROM (SELECT DISTINCT ON (license_id) * FROM expected ORDER BY license_id) AS e
    CROSS JOIN LATERAL (
        SELECT 'license_license' AS table_name, to_jsonb(t) AS image FROM license_license AS t WHERE id = e.license_id
        UNION ALL
        SELECT 'ledger_licensebalance', to_jsonb(t) FROM ledger_licensebalance AS t WHERE license_id = e.license_id
        OFFSET 0
    ) AS stored
    CROSS JOIN LATERAL (VALUES
        ('credit_cif', round(e.credit_cif, 2)::text),
        ('debited_cif', round(e.debited_cif, 2)::text),
        ('allotted_cif', round(e.allotted_cif, 2)::text),
        ('balance_cif', round(e.balance_cif, 2)::text),
        ('overdrawn_cif', round(e.overdrawn_cif, 2)::text),
        ('is_null', e.is_null::text),
        ('is_expired', e.is_expired::text)
    ) AS right_one (field, expected)
    UNION ALL
    SELECT license_id, import_item_id, table_name, field, image ->> field, expected
    FROM (SELECT * FROM expected WHERE import_item_id IS NOT NULL) AS e
    CROSS JOIN LATERAL (
        SELECT 'license_importitem' AS table_name, to_jsonb(t) AS image
        FROM license_importitem AS t
        WHERE id = e.import_item_id
        UNION ALL
        SELECT 'ledger_importitembalance', to_jsonb(t)
        FROM ledger_importitembalance AS t
        WHERE license_id = e.license_id AND import_item_id = e.import_item_id
        OFFSET 0
    ) AS stored
    CROSS JOIN LATERAL (VALUES
        ('debited_quantity', round(e.debited_quantity, 3)::text),
        ('debited_value', round(e.debited_value, 2)::text),
        ('allotted_quantity', round(e.allotted_quantity, 3)::text),
        ('allotted_value', round(e.allotted_value, 2)::text),
        ('available_quantity', round(e.available_quantity, 3)::text),
        ('overdrawn_quantity', round(e.overdrawn_quantity, 3)::text),
        ('available_value', round(e.available_value, 2)::text),
        ('overdrawn_value', round(e.overdrawn_value, 2)::text)
    ) AS right_one (field, expected)
), compared AS (
    SELECT
        *,
        stored IS DISTINCT FROM expected AND CASE
            -- flags, as booleans, numbers and words
            WHEN expected = 'true' THEN lower(stored) NOT IN ('true', 't', '1', 'yes', 'y')
            WHEN expected = 'false' THEN lower(stored) NOT IN ('false', 'f', '0', 'no', 'n')
            WHEN stored !~ '^-?[0-9]{1,40}([.][0-9]{1,40})?$' THEN true
            -- a number of more places than ours, as binary ones are, is the same where it rounds to the same
            ELSE round(stored::numeric, scale(expected::numeric)) <> expected::numeric
        END AS is_different
    FROM number
    WHERE stored IS NOT NULL
)
SELECT
    count(*) AS compared,
    coalesce(json_agg(
        json_build_object(
            'license_number', license.license_number,
            'serial_number', item.serial_number,
            'field', field,
            'stored', stored,
            'expected', expected,
            'stored_in', table_name
        )
        ORDER BY compared.license_id, item.serial_number NULLS FIRST, field, table_name
    ) FILTER (WHERE is_different), '[]')::text AS different
FROM compared
LEFT JOIN license_license AS license ON license.id = compared.license_id AND is_different
LEFT JOIN license_importitem AS item ON item.id = compared.import_item_id AND is_different
