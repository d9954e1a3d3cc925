-- Makes the stored balances of the given licenses equal to the expected ones, writing only rows that differ, and takes
-- them out of quarantine (with_items false: their own balances alone, and no more). The caller holds the lock of every
-- one of them. Yields how many licenses had a row written.
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
    LEFT JOIN ledger_licensebalance AS stored
        ON stored.license_id = expected.license_id AND stored.license_id = ANY(%(license_ids)s::bigint[])
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
    RETURNING license_id
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
    LEFT JOIN ledger_importitembalance AS stored
        ON stored.license_id = expected.license_id
        AND stored.import_item_id = expected.import_item_id
        AND stored.license_id = ANY(%(license_ids)s::bigint[])
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
        )
    RETURNING license_id
), license_removed AS (
    DELETE FROM ledger_licensebalance AS stored
    WHERE stored.license_id = ANY(%(license_ids)s::bigint[])
        AND NOT EXISTS (SELECT FROM license_license AS license WHERE license.id = stored.license_id)
    RETURNING license_id
), released AS (
    DELETE FROM ledger_quarantine WHERE %(with_items)s AND license_id = ANY(%(license_ids)s::bigint[])
)
SELECT count(*) FROM (
    SELECT license_id FROM license_written
    UNION SELECT license_id FROM item_written
    UNION SELECT license_id FROM item_removed
    UNION SELECT license_id FROM license_removed
) AS written
