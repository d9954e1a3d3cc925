-- Expected against stored against pending, for the licenses of an array: one statement, so one snapshot, and nothing
-- in it is volatile. Yields a row for each field that differs, with its cause: the first that the evidence shows, in
-- the order of docs/drift.md. fault_tables: the tables that a trigger is at fault on.
--
-- A night may find every balance wrong. So evidence is looked for once for each license, and in its fact rows only
-- where it can decide.
WITH expected AS MATERIALIZED (
    /* include expected.sql */
), pending AS MATERIALIZED (
    /* include pending.sql */
), license_difference AS (
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
    FROM (SELECT DISTINCT ON (license_id) * FROM expected ORDER BY license_id) AS expected
    FULL JOIN (
        SELECT * FROM ledger_licensebalance WHERE license_id = ANY(%(license_ids)s::bigint[])
    ) AS stored USING (license_id)
    CROSS JOIN LATERAL (
        SELECT 'row' AS name,
            CASE WHEN stored.license_id IS NULL THEN 'missing' ELSE 'present' END AS stored,
            CASE WHEN expected.license_id IS NULL THEN 'missing' ELSE 'present' END AS expected
        WHERE stored.license_id IS NULL OR expected.license_id IS NULL
        UNION ALL
        SELECT pair.name, pair.stored::text, round(pair.expected, 2)::text
        FROM (VALUES
            ('credit_cif', stored.credit_cif, expected.credit_cif),
            ('debited_cif', stored.debited_cif, expected.debited_cif),
            ('allotted_cif', stored.allotted_cif, expected.allotted_cif),
            ('balance_cif', stored.balance_cif, expected.balance_cif),
            ('overdrawn_cif', stored.overdrawn_cif, expected.overdrawn_cif)
        ) AS pair (name, stored, expected)
        WHERE pair.stored <> pair.expected
        UNION ALL
        SELECT pair.name, pair.stored::text, pair.expected::text
        FROM (VALUES
            ('is_null', stored.is_null, expected.is_null),
            ('is_expired', stored.is_expired, expected.is_expired)
        ) AS pair (name, stored, expected)
        WHERE pair.stored <> pair.expected
        UNION ALL
        SELECT 'rule_version', stored.rule_version::text, expected.rule_version::text
        WHERE stored.rule_version <> expected.rule_version
    ) AS field
), item_difference AS (
    SELECT
        license_id,
        import_item_id,
        field.name,
        field.stored,
        field.expected,
        stored.license_id IS NULL AS is_missing,
        expected.license_id IS NULL AS is_orphan,
        stored.seal IS NOT DISTINCT FROM md5(ROW(
            stored.license_id, stored.import_item_id, stored.debited_quantity, stored.debited_value,
            stored.allotted_quantity, stored.allotted_value, stored.available_quantity, stored.overdrawn_quantity,
            stored.available_value, stored.overdrawn_value
        )::text)::uuid AS is_sealed,
        false AS is_older_rule
    FROM (SELECT * FROM expected WHERE import_item_id IS NOT NULL) AS expected
    FULL JOIN (
        SELECT * FROM ledger_importitembalance WHERE license_id = ANY(%(license_ids)s::bigint[])
    ) AS stored USING (license_id, import_item_id)
    CROSS JOIN LATERAL (
        SELECT 'row' AS name,
            CASE WHEN stored.license_id IS NULL THEN 'missing' ELSE 'present' END AS stored,
            CASE WHEN expected.license_id IS NULL THEN 'missing' ELSE 'present' END AS expected
        WHERE stored.license_id IS NULL OR expected.license_id IS NULL
        UNION ALL
        SELECT pair.name, pair.stored::text, round(pair.expected, pair.places)::text
        FROM (VALUES
            ('debited_quantity', stored.debited_quantity, expected.debited_quantity, 3),
            ('debited_value', stored.debited_value, expected.debited_value, 2),
            ('allotted_quantity', stored.allotted_quantity, expected.allotted_quantity, 3),
            ('allotted_value', stored.allotted_value, expected.allotted_value, 2),
            ('available_quantity', stored.available_quantity, expected.available_quantity, 3),
            ('overdrawn_quantity', stored.overdrawn_quantity, expected.overdrawn_quantity, 3),
            ('available_value', stored.available_value, expected.available_value, 2),
            ('overdrawn_value', stored.overdrawn_value, expected.overdrawn_value, 2)
        ) AS pair (name, stored, expected, places)
        WHERE pair.stored <> pair.expected
    ) AS field
), difference AS MATERIALIZED (
    SELECT
        either.*,
        -- the fact tables that a sum is made of; what follows from sums (a balance, an available value) differs for the
        -- reasons that its license's sums do
        CASE
            WHEN field = 'credit_cif' THEN ARRAY['license_exportitem']
            WHEN field IN ('debited_cif', 'debited_quantity', 'debited_value')
            THEN ARRAY['license_importitem', 'ledger_billofentryline']
            WHEN field IN ('allotted_cif', 'allotted_quantity', 'allotted_value')
            THEN ARRAY[
                'license_importitem', 'ledger_allotmentline', 'ledger_allotment_bills_of_entry',
                'ledger_allotmentrelease'
            ]
            WHEN field = 'is_expired' THEN ARRAY['license_license']
        END AS tables
    FROM (SELECT * FROM license_difference UNION ALL SELECT * FROM item_difference) AS either
), suspect AS MATERIALIZED (
    SELECT
        license_id,
        bool_or(tables IS NOT NULL) AS has_sum,
        coalesce(bool_or(tables && %(fault_tables)s::text[]), false) AS is_sum_off,
        license_id IN (SELECT license_id FROM pending) AS is_pending,
        EXISTS (SELECT FROM ledger_quarantine WHERE license_id = difference.license_id OFFSET 0) AS is_quarantined,
        bool_or((is_missing OR is_sealed) AND is_older_rule IS NOT TRUE) AS do_facts_decide
    FROM difference
    GROUP BY license_id
), evidence AS (
    -- each LATERAL with OFFSET 0, here and below, is a look-up by index, whatever the statistics say
    SELECT
        suspect.*,
        license.license_number,
        license.license_expiry_date,
        (stored.computed_at AT TIME ZONE 'Asia/Kolkata')::date AS computed_on,
        EXISTS (
            SELECT FROM ledger_importitembalance WHERE license_id = suspect.license_id OFFSET 0
        ) AS has_item_rows,
        -- of its fact rows, the newest writer, as far as rows tell: a deleted row tells nothing
        coalesce(greatest_fact.xid >= stored.computed_xid::text::bigint, false) AS has_newer_fact
    FROM suspect
    LEFT JOIN LATERAL (
        SELECT license_number, license_expiry_date FROM license_license WHERE id = suspect.license_id OFFSET 0
    ) AS license ON true
    LEFT JOIN LATERAL (
        SELECT computed_at, computed_xid FROM ledger_licensebalance WHERE license_id = suspect.license_id OFFSET 0
    ) AS stored ON true
    LEFT JOIN LATERAL (
        -- xmin has 32 bits: the newest 64-bit id that ends in them and is not in the future
        SELECT max(now_xid.id - ((now_xid.id - fact.xid) & 4294967295)) AS xid
        FROM (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS id) AS now_xid, (
            SELECT xmin::text::bigint AS xid FROM license_license WHERE id = suspect.license_id
            UNION ALL
            SELECT xmin::text::bigint FROM license_exportitem WHERE license_id = suspect.license_id
            UNION ALL
            SELECT of_item.xid
            FROM (SELECT id, xmin FROM license_importitem WHERE license_id = suspect.license_id OFFSET 0) AS i
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
                    UNION ALL
                    SELECT xmin::text::bigint FROM ledger_allotmentrelease WHERE allotment_id = line.allotment_id
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
        WHERE suspect.do_facts_decide AND NOT suspect.is_pending AND NOT suspect.is_quarantined
    ) AS greatest_fact ON true
)
SELECT
    license_id,
    difference.import_item_id,
    coalesce(evidence.license_number, '') AS license_number,
    item.serial_number,
    difference.field,
    difference.stored,
    difference.expected,
    CASE
        WHEN evidence.is_pending THEN 'lag'
        WHEN evidence.is_quarantined THEN 'quarantined'
        WHEN difference.is_older_rule THEN 'older rules'
        -- the engine writes a license's rows together: one is never there without the others
        WHEN difference.is_missing
            AND CASE
                WHEN difference.import_item_id IS NULL THEN evidence.has_item_rows
                ELSE evidence.computed_on IS NOT NULL
            END
            AND NOT evidence.has_newer_fact
        THEN 'edited directly'
        WHEN NOT difference.is_missing AND NOT difference.is_sealed THEN 'edited directly'
        -- the flag was right when it was computed, and a midnight has turned it
        WHEN difference.field = 'is_expired' AND difference.expected = 'true'
            AND evidence.computed_on <= evidence.license_expiry_date
        THEN CASE
            WHEN evidence.license_expiry_date
                = coalesce(%(today)s::date, (statement_timestamp() AT TIME ZONE 'Asia/Kolkata')::date) - 1
            THEN 'expiry'
            ELSE 'missed expiry'
        END
        WHEN CASE
            WHEN difference.tables IS NOT NULL THEN difference.tables && %(fault_tables)s::text[]
            WHEN evidence.has_sum THEN evidence.is_sum_off
            ELSE %(fault_tables)s::text[] <> '{}'
        END
        THEN 'trigger'
        WHEN evidence.has_newer_fact OR difference.is_orphan THEN 'change lost'
        ELSE 'unknown'
    END AS cause
FROM difference
-- every difference has its evidence; but no planner makes a loop over all pairs of FULL JOIN
FULL JOIN evidence USING (license_id)
LEFT JOIN LATERAL (
    SELECT serial_number FROM license_importitem WHERE id = difference.import_item_id OFFSET 0
) AS item ON true
