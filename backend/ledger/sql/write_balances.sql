-- Makes the stored balances of the given licenses equal to the expected ones, writing only rows that differ, and takes
-- them out of quarantine (with_items false: their own balances alone, and no more). The caller holds the lock of every
-- one of them. Each license that had a row written gets a row of history, with the changes that asked for it (parallel
-- arrays: a change and a license that it means). Yields the licenses that had a row written, with their numbers.
--
-- What is stored is looked up row by row (LATERAL, OFFSET 0): a join's plan would depend on statistics, which a restored
-- or a young database does not have (docs/decisions/0005-expected-in-one-pass.md).
/* the engine writes balances */ -- by which their trail knows it (trail_engine.sql)
WITH expected AS MATERIALIZED (
    /* include expected.sql */
), license_written AS (
    INSERT INTO ledger_licensebalance (
        license_id, credit_cif, debited_cif, allotted_cif, balance_cif, overdrawn_cif, is_null, is_expired,
        rule_version, computed_at, computed_xid, seal
    )
    SELECT DISTINCT ON (expected.license_id)
        expected.license_id, expected.credit_cif, expected.debited_cif, expected.allotted_cif, expected.balance_cif,
        expected.overdrawn_cif, expected.is_null, expected.is_expired, expected.rule_version, statement_timestamp(),
        pg_snapshot_xmax(pg_current_snapshot()),
        -- the audit knows an edit by hand from this (reconcile/sql/audit.sql)
        md5(ROW(
            expected.license_id, expected.credit_cif::numeric(15, 2), expected.debited_cif::numeric(15, 2),
            expected.allotted_cif::numeric(15, 2), expected.balance_cif::numeric(15, 2),
            expected.overdrawn_cif::numeric(15, 2), expected.is_null, expected.is_expired, expected.rule_version
        )::text)::uuid
    FROM expected
    -- compare first: ON CONFLICT would lock and so write every row that it finds, equal or not
    LEFT JOIN LATERAL (
        SELECT * FROM ledger_licensebalance WHERE license_id = expected.license_id OFFSET 0
    ) AS stored ON true
    WHERE (
        stored.credit_cif, stored.debited_cif, stored.allotted_cif, stored.balance_cif, stored.overdrawn_cif,
        stored.is_null, stored.is_expired, stored.rule_version
    ) IS DISTINCT FROM (
        expected.credit_cif, expected.debited_cif, expected.allotted_cif, expected.balance_cif, expected.overdrawn_cif,
        expected.is_null, expected.is_expired, expected.rule_version
    )
    ON CONFLICT (license_id) DO UPDATE SET
        credit_cif = excluded.credit_cif,
        debited_cif = excluded.debited_cif,
        allotted_cif = excluded.allotted_cif,
        balance_cif = excluded.balance_cif,
        overdrawn_cif = excluded.overdrawn_cif,
        is_null = excluded.is_null,
        is_expired = excluded.is_expired,
        rule_version = excluded.rule_version,
        computed_at = excluded.computed_at,
        computed_xid = excluded.computed_xid,
        seal = excluded.seal
    RETURNING *
), item_written AS (
    INSERT INTO ledger_importitembalance (
        license_id, import_item_id, debited_quantity, debited_value, allotted_quantity, allotted_value,
        available_quantity, overdrawn_quantity, available_value, overdrawn_value, seal
    )
    SELECT
        expected.license_id, expected.import_item_id, expected.debited_quantity, expected.debited_value,
        expected.allotted_quantity, expected.allotted_value, expected.available_quantity, expected.overdrawn_quantity,
        expected.available_value, expected.overdrawn_value,
        md5(ROW(
            expected.license_id, expected.import_item_id, expected.debited_quantity::numeric(15, 3),
            expected.debited_value::numeric(15, 2), expected.allotted_quantity::numeric(15, 3),
            expected.allotted_value::numeric(15, 2), expected.available_quantity::numeric(15, 3),
            expected.overdrawn_quantity::numeric(15, 3), expected.available_value::numeric(15, 2),
            expected.overdrawn_value::numeric(15, 2)
        )::text)::uuid
    FROM expected
    LEFT JOIN LATERAL (
        SELECT * FROM ledger_importitembalance
        WHERE license_id = expected.license_id AND import_item_id = expected.import_item_id
        OFFSET 0
    ) AS stored ON true
    WHERE %(with_items)s
        AND expected.import_item_id IS NOT NULL
        AND (
            stored.debited_quantity, stored.debited_value, stored.allotted_quantity, stored.allotted_value,
            stored.available_quantity, stored.overdrawn_quantity, stored.available_value, stored.overdrawn_value
        ) IS DISTINCT FROM (
            expected.debited_quantity, expected.debited_value, expected.allotted_quantity, expected.allotted_value,
            expected.available_quantity, expected.overdrawn_quantity, expected.available_value,
            expected.overdrawn_value
        )
    ON CONFLICT (license_id, import_item_id) DO UPDATE SET
        debited_quantity = excluded.debited_quantity,
        debited_value = excluded.debited_value,
        allotted_quantity = excluded.allotted_quantity,
        allotted_value = excluded.allotted_value,
        available_quantity = excluded.available_quantity,
        overdrawn_quantity = excluded.overdrawn_quantity,
        available_value = excluded.available_value,
        overdrawn_value = excluded.overdrawn_value,
        seal = excluded.seal
    RETURNING license_id
), item_removed AS (
    -- the item is gone, or it is another license's by now
    DELETE FROM ledger_importitembalance AS stored
    WHERE %(with_items)s
        AND stored.license_id = ANY(%(license_ids)s::bigint[])
        AND NOT EXISTS (
            SELECT FROM license_importitem AS item
            WHERE item.id = stored.import_item_id AND item.license_id = stored.license_id
            OFFSET 0
        )
    RETURNING license_id
), license_removed AS (
    DELETE FROM ledger_licensebalance AS stored
    WHERE stored.license_id = ANY(%(license_ids)s::bigint[])
        AND NOT EXISTS (SELECT FROM license_license AS license WHERE license.id = stored.license_id OFFSET 0)
    RETURNING license_id
), released AS (
    DELETE FROM ledger_quarantine
    WHERE %(with_items)s AND license_id = ANY(%(license_ids)s::bigint[])
    RETURNING license_id, first_failed_at
), remembered AS (
    -- Grouped, not joined: how many rows these are is anybody's guess, and joins of guesses become nested loops.
    SELECT
        license_id,
        bool_or(is_removed) AS is_removed,
        array_agg(DISTINCT source ORDER BY source) FILTER (WHERE source IS NOT NULL) AS sources,
        min(changed_at) AS first_change_at,
        sum(credit_cif) AS credit_cif,
        sum(debited_cif) AS debited_cif,
        sum(allotted_cif) AS allotted_cif,
        sum(balance_cif) AS balance_cif,
        sum(overdrawn_cif) AS overdrawn_cif,
        bool_or(is_null) AS is_null,
        bool_or(is_expired) AS is_expired
    FROM (
        SELECT
            license_id, true AS is_written, false AS is_removed, NULL AS source, NULL::timestamptz AS changed_at,
            credit_cif, debited_cif, allotted_cif, balance_cif, overdrawn_cif, is_null, is_expired
        FROM license_written
        UNION ALL
        SELECT license_id, true, true, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM license_removed
        UNION ALL
        SELECT license_id, true, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM item_written
        UNION ALL
        SELECT license_id, true, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM item_removed
        UNION ALL
        SELECT
            license_id, false, false, 'ledger_quarantine', first_failed_at, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM released
        UNION ALL
        SELECT
            asked.license_id, false, false, change.source, change.created_at, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM unnest(%(change_ids)s::bigint[], %(change_license_ids)s::bigint[]) AS asked (change_id, license_id)
        JOIN ledger_licensechange AS change ON change.id = asked.change_id
    ) AS part
    GROUP BY license_id
    HAVING bool_or(is_written)
)
INSERT INTO ledger_balancehistory (
    license_id, changed_at, sources, first_change_at, credit_cif, debited_cif, allotted_cif, balance_cif,
    overdrawn_cif, is_null, is_expired, previous_balance_cif, previous_overdrawn_cif, was_null, was_expired
)
SELECT
    remembered.license_id,
    clock_timestamp(),
    coalesce(remembered.sources, '{}'),
    remembered.first_change_at,
    -- where only items were written, the license's own row is what it was
    coalesce(remembered.credit_cif, kept.credit_cif),
    coalesce(remembered.debited_cif, kept.debited_cif),
    coalesce(remembered.allotted_cif, kept.allotted_cif),
    coalesce(remembered.balance_cif, kept.balance_cif),
    coalesce(remembered.overdrawn_cif, kept.overdrawn_cif),
    coalesce(remembered.is_null, kept.is_null),
    coalesce(remembered.is_expired, kept.is_expired),
    stored.balance_cif,
    stored.overdrawn_cif,
    stored.is_null,
    stored.is_expired
FROM remembered
LEFT JOIN LATERAL (
    SELECT * FROM ledger_licensebalance WHERE license_id = remembered.license_id OFFSET 0
) AS stored ON true
LEFT JOIN LATERAL (SELECT stored.* WHERE NOT remembered.is_removed) AS kept ON true
RETURNING
    license_id,
    coalesce(
        (SELECT license_number FROM license_license WHERE id = ledger_balancehistory.license_id),
        'deleted, of id ' || license_id
    )
