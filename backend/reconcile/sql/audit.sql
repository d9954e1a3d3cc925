-- Expected against stored against pending, for the licenses of an array: one statement, so one snapshot, and nothing
-- in it is volatile. Yields a row for each field that differs, with its cause: the first that the evidence shows, in
-- the order of docs/drift.md, and what names who and when: a statement of the trail, or a fact row that is not what the
-- trail says. fault_tables: the tables that a trigger is at fault on; depends_on: of each fact table, the columns that a
-- balance depends on (ledger/capture.py).
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
        string_to_array(string_agg(DISTINCT array_to_string(tables, ' '), ' '), ' ') AS sum_tables,
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
        coalesce(written.xid >= stored.computed_xid, false) AS has_newer_fact,
        written.told_of_table,
        written.told_of_item,
        coalesce(written.untold, gone.untold) AS untold
    FROM suspect
    LEFT JOIN LATERAL (
        SELECT license_number, license_expiry_date FROM license_license WHERE id = suspect.license_id OFFSET 0
    ) AS license ON true
    LEFT JOIN LATERAL (
        SELECT computed_at, computed_xid::text::bigint AS computed_xid
        FROM ledger_licensebalance
        WHERE license_id = suspect.license_id
        OFFSET 0
    ) AS stored ON true
    LEFT JOIN LATERAL (
        SELECT id FROM ledger_trailstatement WHERE written_at < stored.computed_at ORDER BY written_at DESC LIMIT 1
    ) AS before ON true
    CROSS JOIN LATERAL (
        -- All that the balance had not seen came later than any entry of the last statement before it. BETWEEN, for the
        -- index to be read from its end.
        SELECT coalesce((
            SELECT id
            FROM ledger_trailentry
            WHERE statement_id BETWEEN before.id AND before.id
            ORDER BY statement_id DESC
            LIMIT 1
        ), 0) AS entry_id
        OFFSET 0
    ) AS since
    LEFT JOIN LATERAL (
        SELECT
            max(fact.xid) AS xid, -- of its fact rows, the newest writer
            -- the newest statement that the balance had not seen: of each table, and of each item
            jsonb_object_agg(fact.table_name, fact.statement_id ORDER BY fact.statement_id)
                FILTER (WHERE statement.is_unseen) AS told_of_table,
            jsonb_object_agg(concat_ws(' ', fact.table_name, fact.item_id), fact.statement_id ORDER BY fact.statement_id)
                FILTER (WHERE statement.is_unseen) AS told_of_item,
            jsonb_agg(untold.fact_row) FILTER (WHERE untold.fact_row IS NOT NULL) AS untold
        FROM (
            SELECT
                table_name,
                item_id,
                row_id,
                owner_id,
                max(xid) AS xid,
                max(statement_id) AS last_statement_id,
                -- the newest that has changed what a balance depends on
                max(statement_id) FILTER (WHERE before IS NULL OR after IS NULL OR EXISTS (
                    SELECT FROM jsonb_array_elements_text(%(depends_on)s::jsonb -> table_name) AS name
                    WHERE before -> name IS DISTINCT FROM after -> name
                )) AS statement_id
            FROM (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS id) AS now_xid
            CROSS JOIN LATERAL (
                -- xmin has 32 bits: the newest 64-bit id that ends in them and is not in the future
                SELECT *, now_xid.id - ((now_xid.id - writer::text::bigint) & 4294967295) AS xid
                FROM (
                    /* include facts_and_trail.sql */
                ) AS every
            ) AS part
            WHERE entry_id IS NOT NULL OR xid >= coalesce(stored.computed_xid, 0)
            GROUP BY table_name, item_id, row_id, owner_id
        ) AS fact
        LEFT JOIN LATERAL (
            SELECT transaction_id::text::bigint >= coalesce(stored.computed_xid, 0) AS is_unseen
            FROM ledger_trailstatement
            WHERE id = fact.statement_id
            OFFSET 0
        ) AS statement ON true
        LEFT JOIN LATERAL (
            SELECT transaction_id::text::bigint AS xid
            FROM ledger_trailstatement
            WHERE id = fact.last_statement_id
            OFFSET 0
        ) AS last ON true
        LEFT JOIN LATERAL (
            /* include outside_the_trail.sql */
        ) AS untold ON true
        WHERE suspect.do_facts_decide AND NOT suspect.is_pending AND NOT suspect.is_quarantined
    ) AS written ON true
    LEFT JOIN LATERAL (
        -- where no newer statement is known: rows that are there by the trail, and are not
        SELECT jsonb_agg(jsonb_build_object(
            'table', table_name, 'row_id', row_id, 'change', 'gone', 'columns', '{}'::jsonb, 'item_id', item_id
        )) AS untold
        FROM (
            SELECT table_name, item_id, row_id
            FROM (SELECT 0 AS entry_id) AS since
            CROSS JOIN LATERAL (
                /* include facts_and_trail.sql */
            ) AS part
            GROUP BY table_name, item_id, row_id
            HAVING count(writer) = 0 AND max(part.entry_id) = max(part.entry_id) FILTER (WHERE after IS NOT NULL)
        ) AS fact
        WHERE suspect.do_facts_decide AND NOT suspect.is_pending AND NOT suspect.is_quarantined
            AND written.told_of_table IS NULL AND written.untold IS NULL
    ) AS gone ON true
), judged AS (
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
                WHEN evidence.sum_tables IS NOT NULL THEN evidence.is_sum_off
                ELSE %(fault_tables)s::text[] <> '{}'
            END
            THEN 'trigger'
            WHEN untold.fact_row IS NOT NULL THEN 'outside the trail'
            WHEN evidence.has_newer_fact OR difference.is_orphan OR told.statement_id IS NOT NULL THEN 'change lost'
            ELSE 'unknown'
        END AS cause,
        told.statement_id,
        untold.fact_row
    FROM difference
    -- every difference has its evidence; but no planner makes a loop over all pairs of FULL JOIN
    FULL JOIN evidence USING (license_id)
    LEFT JOIN LATERAL (
        SELECT serial_number FROM license_importitem WHERE id = difference.import_item_id OFFSET 0
    ) AS item ON true
    LEFT JOIN LATERAL (
        -- what can have made this difference: for a sum, the tables and the item that it is made of
        SELECT
            CASE
                WHEN difference.field <> 'row' THEN coalesce(
                    difference.tables, evidence.sum_tables, ARRAY(SELECT jsonb_object_keys(%(depends_on)s::jsonb))
                )
                WHEN difference.import_item_id IS NULL THEN ARRAY['license_license']
                ELSE ARRAY['license_importitem']
            END AS tables,
            CASE
                WHEN difference.field = 'row' OR difference.tables IS NOT NULL THEN difference.import_item_id
            END AS item_id
    ) AS made_of ON true
    LEFT JOIN LATERAL (
        SELECT max((CASE
            WHEN made_of.item_id IS NULL THEN evidence.told_of_table ->> name
            ELSE evidence.told_of_item ->> concat_ws(' ', name, made_of.item_id)
        END)::bigint) AS statement_id
        FROM unnest(made_of.tables) AS name
    ) AS told ON true
    LEFT JOIN LATERAL (
        SELECT fact_row
        FROM jsonb_array_elements(evidence.untold) AS fact_row
        WHERE fact_row ->> 'table' = ANY(made_of.tables)
            AND (made_of.item_id IS NULL OR (fact_row -> 'item_id')::bigint = made_of.item_id)
        ORDER BY fact_row ->> 'table', (fact_row -> 'row_id')::bigint
        LIMIT 1
    ) AS untold ON true
)
SELECT
    license_id,
    import_item_id,
    license_number,
    serial_number,
    field,
    stored,
    expected,
    cause,
    CASE
        WHEN cause = 'outside the trail' THEN fact_row - 'item_id'
        ELSE coalesce(statement.told, '{}')
    END AS evidence
FROM judged
LEFT JOIN LATERAL (
    -- who has edited: the newest statement that made this field what is stored, unless the engine has written since
    SELECT CASE
        WHEN field = 'row' THEN (after IS NULL) = (stored = 'missing')
        ELSE after ->> field = stored
    END AS is_as_stored, statement_id
    FROM ledger_trailentry
    WHERE cause = 'edited directly'
        AND table_name = CASE
            WHEN import_item_id IS NULL THEN 'ledger_licensebalance' ELSE 'ledger_importitembalance'
        END
        AND owner_id = license_id
        AND row_id = coalesce(import_item_id, license_id)
        AND CASE
            WHEN field = 'row' THEN (before IS NULL) <> (after IS NULL)
            ELSE before ->> field IS DISTINCT FROM after ->> field
        END
    ORDER BY id DESC
    LIMIT 1
) AS edit ON true
LEFT JOIN LATERAL (
    SELECT jsonb_build_object(
        'statement_id', id, 'at', written_at, 'user', user_name, 'via', via, 'role', role, 'application', application,
        'operation', operation, 'table', table_name, 'statement', left(statement, 200)
    ) AS told
    FROM ledger_trailstatement
    WHERE id = CASE
            WHEN cause = 'edited directly' AND is_as_stored THEN edit.statement_id
            WHEN cause IN ('trigger', 'change lost') THEN judged.statement_id
        END
        AND (cause <> 'edited directly' OR written_at >= coalesce((
            SELECT changed_at FROM ledger_balancehistory
            WHERE license_id = judged.license_id
            ORDER BY id DESC
            LIMIT 1
        ), '-infinity'))
    OFFSET 0
) AS statement ON true
