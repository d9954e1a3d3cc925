-- Expected against stored against pending, for the licenses of an array: one statement, so one snapshot, and
-- nothing in it is volatile. Yields one row of totals with a row of each field that differs beside it, or
-- with NULLs where nothing does; each difference with the evidence of its cause (docs/drift.md).
WITH expected AS MATERIALIZED (
    /* include expected.sql */
), pending AS MATERIALIZED (
    /* include pending.sql */
), expected_license AS (
    SELECT DISTINCT ON (license_id) * FROM expected ORDER BY license_id
), stored_license AS (
    SELECT * FROM ledger_licensebalance
    WHERE license_id = ANY(%(license_ids)s::bigint[])
), stored_item AS (
    SELECT * FROM ledger_importitembalance
    WHERE license_id = ANY(%(license_ids)s::bigint[])
), difference AS (
    SELECT
        license_id,
        NULL::bigint AS import_item_id,
        field.name AS field,
        field.stored,
        field.expected,
        stored.license_id IS NULL AS is_missing,
        expected.license_id IS NULL AS is_orphan,
        stored.seal IS NOT DISTINCT FROM md5(ROW(
            stored.license_id, stored.credit_cif, stored.debited_cif, stored.allotted_cif, stored.balance_cif,
            stored.overdrawn_cif, stored.is_null, stored.is_expired, stored.rule_version
        )::text)::uuid AS is_sealed,
        stored.rule_version < expected.rule_version AS is_older_rule
    FROM expected_license AS expected
    FULL JOIN stored_license AS stored USING (license_id)
    CROSS JOIN LATERAL (
        SELECT 'row' AS name,
            CASE WHEN stored.license_id IS NULL THEN 'missing' ELSE 'present' END AS stored,
            CASE WHEN expected.license_id IS NULL THEN 'missing' ELSE 'present' END AS expected
        WHERE stored.license_id IS NULL OR expected.license_id IS NULL
        UNION ALL
        SELECT pair.* FROM (VALUES
            ('credit_cif', stored.credit_cif::text, expected.credit_cif::numeric(40, 2)::text),
            ('debited_cif', stored.debited_cif::text, expected.debited_cif::numeric(40, 2)::text),
            ('allotted_cif', stored.allotted_cif::text, expected.allotted_cif::numeric(40, 2)::text),
            ('balance_cif', stored.balance_cif::text, expected.balance_cif::numeric(40, 2)::text),
            ('overdrawn_cif', stored.overdrawn_cif::text, expected.overdrawn_cif::numeric(40, 2)::text),
            ('is_null', stored.is_null::text, expected.is_null::text),
            ('is_expired', stored.is_expired::text, expected.is_expired::text),
            ('rule_version', stored.rule_version::text, expected.rule_version::text)
        ) AS pair (name, stored, expected)
        WHERE stored.license_id IS NOT NULL AND expected.license_id IS NOT NULL AND pair.stored <> pair.expected
    ) AS field
    WHERE (
        stored.license_id, stored.credit_cif, stored.debited_cif, stored.allotted_cif, stored.balance_cif,
        stored.overdrawn_cif, stored.is_null, stored.is_expired, stored.rule_version
    ) IS DISTINCT FROM (
        expected.license_id, expected.credit_cif, expected.debited_cif, expected.allotted_cif, expected.balance_cif,
        expected.overdrawn_cif, expected.is_null, expected.is_expired, expected.rule_version
    )
    UNION ALL
    SELECT
        license_id,
        import_item_id,
        field.name,
        field.stored,
        field.expected,
        stored.license_id IS NULL,
        expected.license_id IS NULL,
        stored.seal IS NOT DISTINCT FROM md5(ROW(
            stored.license_id, stored.import_item_id, stored.debited_quantity, stored.debited_value,
            stored.allotted_quantity, stored.allotted_value, stored.available_quantity, stored.overdrawn_quantity,
            stored.available_value, stored.overdrawn_value
        )::text)::uuid,
        false
    FROM (SELECT * FROM expected WHERE import_item_id IS NOT NULL) AS expected
    FULL JOIN stored_item AS stored USING (license_id, import_item_id)
    CROSS JOIN LATERAL (
        SELECT 'row' AS name,
            CASE WHEN stored.license_id IS NULL THEN 'missing' ELSE 'present' END AS stored,
            CASE WHEN expected.license_id IS NULL THEN 'missing' ELSE 'present' END AS expected
        WHERE stored.license_id IS NULL OR expected.license_id IS NULL
        UNION ALL
        SELECT pair.* FROM (VALUES
            ('debited_quantity', stored.debited_quantity::text, expected.debited_quantity::numeric(40, 3)::text),
            ('debited_value', stored.debited_value::text, expected.debited_value::numeric(40, 2)::text),
            ('allotted_quantity', stored.allotted_quantity::text, expected.allotted_quantity::numeric(40, 3)::text),
            ('allotted_value', stored.allotted_value::text, expected.allotted_value::numeric(40, 2)::text),
            ('available_quantity', stored.available_quantity::text, expected.available_quantity::numeric(40, 3)::text),
            ('overdrawn_quantity', stored.overdrawn_quantity::text, expected.overdrawn_quantity::numeric(40, 3)::text),
            ('available_value', stored.available_value::text, expected.available_value::numeric(40, 2)::text),
            ('overdrawn_value', stored.overdrawn_value::text, expected.overdrawn_value::numeric(40, 2)::text)
        ) AS pair (name, stored, expected)
        WHERE stored.license_id IS NOT NULL AND expected.license_id IS NOT NULL AND pair.stored <> pair.expected
    ) AS field
    WHERE (
        stored.license_id, stored.debited_quantity, stored.debited_value, stored.allotted_quantity,
        stored.allotted_value, stored.available_quantity, stored.overdrawn_quantity, stored.available_value,
        stored.overdrawn_value
    ) IS DISTINCT FROM (
        expected.license_id, expected.debited_quantity, expected.debited_value, expected.allotted_quantity,
        expected.allotted_value, expected.available_quantity, expected.overdrawn_quantity, expected.available_value,
        expected.overdrawn_value
    )
), total AS (
    SELECT
        (SELECT count(*) FROM (
            SELECT license_id FROM expected_license UNION SELECT license_id FROM stored_license
            UNION SELECT license_id FROM stored_item
        ) AS every) AS licenses_checked,
        (SELECT count(*) FROM ledger_licensechange) AS pending
)
SELECT
    total.licenses_checked,
    total.pending,
    coalesce(%(today)s::date, (statement_timestamp() AT TIME ZONE 'Asia/Kolkata')::date) AS business_date,
    difference.license_id,
    difference.import_item_id,
    license.license_number,
    item.serial_number,
    difference.field,
    difference.stored,
    difference.expected,
    difference.is_missing,
    difference.is_orphan,
    difference.is_sealed,
    difference.is_older_rule,
    pending.license_id IS NOT NULL AS is_pending,
    quarantine.license_id IS NOT NULL AS is_quarantined,
    license.license_expiry_date,
    (stored.computed_at AT TIME ZONE 'Asia/Kolkata')::date AS computed_on,
    EXISTS (
        SELECT FROM ledger_importitembalance AS left_over
        WHERE left_over.license_id = difference.license_id
        OFFSET 0 -- a look-up; without it, all item balances are read into a hash table, for a single license too
    ) AS has_item_rows,
    -- of its fact rows, the newest writer, as far as rows tell: a deleted row tells nothing
    greatest_fact.xid >= stored.computed_xid::text::bigint AS has_newer_fact
FROM total
LEFT JOIN difference ON true
LEFT JOIN pending ON pending.license_id = difference.license_id
LEFT JOIN ledger_quarantine AS quarantine ON quarantine.license_id = difference.license_id
-- each LATERAL with OFFSET 0, here and below, is a look-up by index, whatever the statistics say
LEFT JOIN LATERAL (
    SELECT license_number, license_expiry_date FROM license_license WHERE id = difference.license_id OFFSET 0
) AS license ON true
LEFT JOIN LATERAL (
    SELECT serial_number FROM license_importitem WHERE id = difference.import_item_id OFFSET 0
) AS item ON true
LEFT JOIN LATERAL (
    SELECT computed_at, computed_xid FROM ledger_licensebalance WHERE license_id = difference.license_id OFFSET 0
) AS stored ON true
LEFT JOIN LATERAL (
    -- xmin has 32 bits: the newest 64-bit id that ends in them and is not in the future
    SELECT max(now_xid.id - ((now_xid.id - fact.xid) & 4294967295)) AS xid
    FROM (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS id) AS now_xid, (
        SELECT xmin::text::bigint AS xid FROM license_license WHERE id = difference.license_id
        UNION ALL
        SELECT xmin::text::bigint FROM license_exportitem WHERE license_id = difference.license_id
        UNION ALL
        SELECT of_item.xid
        FROM (SELECT id, xmin FROM license_importitem WHERE license_id = difference.license_id OFFSET 0) AS i
        CROSS JOIN LATERAL (
            SELECT i.xmin::text::bigint AS xid
            UNION ALL
            SELECT xmin::text::bigint FROM ledger_billofentryline WHERE import_item_id = i.id
            UNION ALL
            SELECT of_line.xid
            FROM (SELECT allotment_id, xmin FROM ledger_allotmentline WHERE import_item_id = i.id OFFSET 0) AS line
            CROSS JOIN LATERAL (
                SELECT line.xmin::text::bigint AS xid
                UNION ALL
                SELECT xmin::text::bigint FROM ledger_allotment_bills_of_entry WHERE allotment_id = line.allotment_id
                OFFSET 0
            ) AS of_line
            UNION ALL
            SELECT of_link.xid
            FROM (SELECT itemname_id, xmin FROM license_importitem_item_names WHERE importitem_id = i.id OFFSET 0) AS link
            CROSS JOIN LATERAL (
                SELECT link.xmin::text::bigint AS xid
                UNION ALL
                SELECT xmin::text::bigint FROM license_itemname WHERE id = link.itemname_id
                OFFSET 0
            ) AS of_link
            OFFSET 0
        ) AS of_item
    ) AS fact
) AS greatest_fact ON difference.license_id IS NOT NULL
ORDER BY license.license_number, item.serial_number NULLS FIRST, difference.field
