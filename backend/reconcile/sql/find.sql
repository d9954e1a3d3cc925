-- Writes down what a run leaves for people to look at: its findings (docs/night.md says what each means). Balances are
-- those that are stored; where the run cannot vouch for them, the finding says why (`stale`). Which rule made an item
-- overdrawn, and its pool, is what expected.sql says of the licenses of an array; where customs' ledgers differ from ours,
-- what mismatches.sql says.
WITH expected AS MATERIALIZED (
    /* include expected.sql */
), pending AS MATERIALIZED (
    /* include pending.sql */
), stale AS MATERIALIZED (
    SELECT DISTINCT ON (license_id) license_id, why
    FROM (
        SELECT license_id, 1 AS rank, 'in quarantine' AS why FROM ledger_quarantine
        UNION ALL
        SELECT license.id, 2, 'not checked'
        FROM reconcile_reconciliationchunk AS chunk
        JOIN license_license AS license ON license.id BETWEEN chunk.first_license_id AND chunk.last_license_id
        WHERE chunk.run_id = %(run_id)s AND chunk.finished_at IS NULL
        UNION ALL
        SELECT license_id, 3, 'changes pending' FROM pending
    ) AS reason
    ORDER BY license_id, rank
), mismatch AS (
    /* include mismatches.sql */
), held AS (
    SELECT
        license.id AS license_id,
        license.license_number,
        license.license_expiry_date,
        balance.balance_cif,
        balance.overdrawn_cif,
        balance.credit_cif,
        balance.is_null,
        balance.is_expired,
        license.license_expiry_date >= %(today)s::date
            AND license.license_expiry_date <= %(today)s::date + %(soon_days)s AS is_expiring
    FROM license_license AS license
    JOIN ledger_licensebalance AS balance ON balance.license_id = license.id
), changed AS (
    -- what was changed since the last night, and what it was then (nothing is NULL: it was not there)
    SELECT held.*, earlier.balance_cif AS earlier_balance_cif, earlier.is_null AS was_null,
        earlier.is_expired AS was_expired
    FROM (SELECT DISTINCT license_id FROM ledger_balancehistory WHERE changed_at >= %(since)s) AS since
    JOIN held ON held.license_id = since.license_id
    LEFT JOIN LATERAL (
        SELECT balance_cif, is_null, is_expired FROM ledger_balancehistory AS history
        WHERE history.license_id = since.license_id AND history.changed_at < %(since)s
        ORDER BY history.id DESC
        LIMIT 1
    ) AS earlier ON true
), found AS (
    SELECT
        'expired' AS kind, license_id, NULL::integer AS serial_number, balance_cif AS amount,
        NULL::numeric AS quantity, '{}'::jsonb AS details
    FROM held
    WHERE (license_expiry_date >= %(last_business_date)s AND license_expiry_date < %(today)s)
        -- or its date was corrected
        OR license_id IN (SELECT license_id FROM changed WHERE is_expired AND NOT was_expired)
    UNION ALL
    SELECT 'expiring', license_id, NULL, balance_cif, NULL, '{}'
    FROM held
    WHERE is_expiring AND NOT is_null
    UNION ALL
    SELECT 'newly null', license_id, NULL, balance_cif, NULL,
        jsonb_build_object('earlier_balance_cif', earlier_balance_cif::text)
    FROM changed
    WHERE is_null AND NOT coalesce(was_null, credit_cif = 0)
    UNION ALL
    SELECT 'overdrawn', license_id, NULL, overdrawn_cif, NULL, '{}'
    FROM held
    WHERE overdrawn_cif > 0
    UNION ALL
    SELECT 'overdrawn', expected.license_id, item.serial_number,
        -- a value of its own; by any other rule it is the license that is overdrawn, or a restriction
        CASE WHEN expected.value_rule = 'own value' THEN nullif(expected.overdrawn_value, 0) END,
        nullif(expected.overdrawn_quantity, 0),
        jsonb_build_object('unit', item.unit)
    FROM expected
    JOIN license_importitem AS item ON item.id = expected.import_item_id
    WHERE expected.overdrawn_quantity > 0 OR (expected.overdrawn_value > 0 AND expected.value_rule = 'own value')
    UNION ALL
    SELECT 'restriction overused', expected.license_id, NULL, expected.overdrawn_value, NULL,
        jsonb_build_object(
            'norm', expected.pool_norm,
            'percentage', expected.pool_percentage::text,
            'limit', expected.pool_limit::text,
            'used', expected.pool_used::text,
            'serial_numbers', jsonb_agg(item.serial_number ORDER BY item.serial_number)
        )
    FROM expected
    JOIN license_importitem AS item ON item.id = expected.import_item_id
    WHERE expected.value_rule = 'restricted' AND expected.overdrawn_value > 0
    GROUP BY expected.license_id, expected.pool_norm, expected.pool_percentage, expected.pool_limit,
        expected.pool_used, expected.overdrawn_value
    UNION ALL
    SELECT 'quarantined', license_id, NULL, NULL, NULL,
        jsonb_build_object('error', error, 'attempts', attempts, 'first_failed_at', first_failed_at)
    FROM ledger_quarantine
    UNION ALL
    SELECT 'norm unknown', license_id, NULL, balance_cif, NULL, '{}'
    FROM held
    WHERE NOT is_null AND NOT is_expired
        AND NOT EXISTS (
            SELECT FROM license_exportitem AS export
            WHERE export.license_id = held.license_id AND export.norm_id IS NOT NULL
        )
    UNION ALL
    SELECT kind, license_id, serial_number, amount, quantity, details FROM mismatch
    UNION ALL
    SELECT 'released without a debit', item.license_id, item.serial_number, line.cif_fc, line.quantity,
        jsonb_build_object(
            'allotment_id', line.allotment_id,
            'company', coalesce(nullif(company.name, ''), company.iec),
            'bills_of_entry', released.bills_of_entry,
            'unit', item.unit
        )
    FROM (
        -- first which lines these are, of those of released allotments: there are few
        SELECT line.*
        FROM (SELECT DISTINCT allotment_id FROM ledger_allotment_bills_of_entry) AS released
        JOIN ledger_allotmentline AS line ON line.allotment_id = released.allotment_id
        WHERE (line.cif_fc > 0 OR line.quantity > 0) AND NOT EXISTS (
            SELECT FROM ledger_allotment_bills_of_entry AS link
            JOIN ledger_billofentryline AS debit ON debit.bill_of_entry_id = link.billofentry_id
            -- all of it in WHERE: a condition on `line` in the join would have this looked up for each line
            WHERE link.allotment_id = line.allotment_id
                AND debit.import_item_id = line.import_item_id
                AND debit.transaction_type = 'D'
        )
        OFFSET 0
    ) AS line
    JOIN license_importitem AS item ON item.id = line.import_item_id
    JOIN ledger_allotment AS allotment ON allotment.id = line.allotment_id
    JOIN license_company AS company ON company.id = allotment.company_id
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(bill.number ORDER BY bill.number) AS bills_of_entry
        FROM ledger_allotment_bills_of_entry AS link
        JOIN ledger_billofentry AS bill ON bill.id = link.billofentry_id
        WHERE link.allotment_id = line.allotment_id
    ) AS released
    UNION ALL
    SELECT 'allotment given up', item.license_id, item.serial_number, line.cif_fc, line.quantity,
        jsonb_build_object(
            'allotment_id', line.allotment_id,
            'company', coalesce(nullif(company.name, ''), company.iec),
            'last_day', allotment.last_day,
            'by', release.released_by,
            'unit', item.unit
        )
    FROM ledger_allotmentrelease AS release
    JOIN ledger_allotment AS allotment ON allotment.id = release.allotment_id
    JOIN license_company AS company ON company.id = allotment.company_id
    JOIN ledger_allotmentline AS line ON line.allotment_id = release.allotment_id
    JOIN license_importitem AS item ON item.id = line.import_item_id
    WHERE release.released_at >= %(since)s AND (line.cif_fc > 0 OR line.quantity > 0)
), written AS (
    INSERT INTO reconcile_finding (
        run_id, kind, license_id, license_number, serial_number, currency, expiry_date, amount, quantity, details
    )
    SELECT
        %(run_id)s, found.kind, found.license_id, coalesce(license.license_number, ''), found.serial_number,
        coalesce(license.currency, ''), license.license_expiry_date, found.amount, found.quantity,
        found.details || CASE WHEN stale.why IS NULL THEN '{}' ELSE jsonb_build_object('stale', stale.why) END
    FROM found
    LEFT JOIN license_license AS license ON license.id = found.license_id
    LEFT JOIN stale ON stale.license_id = found.license_id AND found.kind <> 'quarantined'
    RETURNING kind
)
UPDATE reconcile_reconciliationrun AS run
SET finding_counts = counted.by_kind
FROM (
    SELECT coalesce(jsonb_object_agg(kind, number), '{}') AS by_kind
    FROM (SELECT kind, count(*) AS number FROM written GROUP BY kind) AS each_kind
) AS counted
WHERE run.id = %(run_id)s
