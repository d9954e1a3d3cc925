-- What every balance should be: the one definition of docs/rules.md, for the licenses of an array, or for all (NULL).
--
-- Parameters: license_ids bigint[]; today date (NULL: the Indian date of this very statement).
-- Yields one row for each import item, with what its license has beside it, and one row with import_item_id NULL for
-- a license without import items. Numbers are exact and unconstrained: what does not fit its column fails where it is
-- stored, not here.
--
-- It is one pass from the licenses down on purpose: LATERAL with a sum, a window or OFFSET 0 is a look-up by index for
-- each row, which no planner without statistics makes a join of whole tables, and no part is read twice
-- (docs/decisions/0005-expected-in-one-pass.md).
SELECT DISTINCT ON (license_id, import_item_id)
    license_id,
    credit_cif,
    debited_cif,
    allotted_cif,
    balance_cif,
    greatest(-raw, 0) AS overdrawn_cif,
    balance_cif < 500.00 AS is_null,
    coalesce(license_expiry_date < today, false) AS is_expired,
    1 AS rule_version, -- count up with every change of a rule: older balances are then written anew
    import_item_id,
    debited_quantity,
    debited_value,
    allotted_quantity,
    allotted_value,
    greatest(quantity - debited_quantity - allotted_quantity, 0) AS available_quantity,
    greatest(debited_quantity + allotted_quantity - quantity, 0) AS overdrawn_quantity,
    least(greatest(own_value, 0), balance_cif) AS available_value,
    greatest(-own_value, 0) AS overdrawn_value,
    -- why, for people
    value_rule,
    pool_percentage,
    pool_norm,
    pool_limit,
    pool_used,
    own_value
FROM (
    SELECT
        *,
        -- the first rule that applies gives the value
        CASE
            WHEN pool_percentage IS NOT NULL THEN 'restricted'
            WHEN serial_number = 1 AND items > 1 AND others_with_value = 0 THEN 'first item carries the total'
            WHEN cif_fc IN (0, 0.01, 0.10) THEN 'no value of its own'
            ELSE 'own value'
        END AS value_rule,
        CASE
            WHEN pool_percentage IS NOT NULL THEN pool_limit - pool_used
            WHEN serial_number = 1 AND items > 1 AND others_with_value = 0 THEN raw
            WHEN cif_fc IN (0, 0.01, 0.10) THEN raw
            ELSE cif_fc - debited_value - allotted_value
        END AS own_value
    FROM (
        SELECT
            *,
            greatest(raw, 0) AS balance_cif,
            round(credit_cif * pool_percentage / 100, 2) AS pool_limit,
            -- an item is in one sheet pool, or in the pools of its names: never in both
            CASE
                WHEN sheet_percentage > 0 THEN sheet_used
                ELSE sum(debited_value + allotted_value)
                    OVER (PARTITION BY license_id, pool_norm_id, name_percentage)
            END AS pool_used
        FROM (
            SELECT
                license.id AS license_id,
                license.license_expiry_date,
                coalesce(%(today)s::date, (statement_timestamp() AT TIME ZONE 'Asia/Kolkata')::date) AS today,
                coalesce(credit.cif_fc, 0) AS credit_cif,
                coalesce(item.debited_cif, 0) AS debited_cif,
                coalesce(item.allotted_cif, 0) AS allotted_cif,
                coalesce(credit.cif_fc, 0) - coalesce(item.debited_cif, 0) - coalesce(item.allotted_cif, 0) AS raw,
                item.id AS import_item_id,
                item.serial_number,
                item.quantity,
                item.cif_fc,
                item.sheet_percentage,
                item.items,
                item.others_with_value,
                item.sheet_used,
                item.debited_quantity,
                item.debited_value,
                item.allotted_quantity,
                item.allotted_value,
                restriction.norm_id AS pool_norm_id,
                restriction.norm AS pool_norm,
                restriction.percentage AS name_percentage,
                coalesce(nullif(item.sheet_percentage, 0), restriction.percentage) AS pool_percentage
            FROM license_license AS license
            CROSS JOIN LATERAL (
                SELECT sum(cif_fc) AS cif_fc FROM license_exportitem WHERE license_id = license.id
            ) AS credit
            LEFT JOIN LATERAL (
                SELECT
                    i.id,
                    i.serial_number,
                    i.quantity,
                    i.cif_fc,
                    i.restriction_percentage AS sheet_percentage,
                    debited.quantity AS debited_quantity,
                    debited.value AS debited_value,
                    allotted.quantity AS allotted_quantity,
                    allotted.value AS allotted_value,
                    sum(debited.value) OVER () AS debited_cif,
                    sum(allotted.value) OVER () AS allotted_cif,
                    count(*) OVER () AS items,
                    count(*) FILTER (WHERE i.serial_number <> 1 AND (i.cif_fc <> 0 OR i.cif_inr <> 0)) OVER ()
                        AS others_with_value,
                    sum(debited.value + allotted.value) OVER (PARTITION BY i.restriction_percentage) AS sheet_used
                FROM license_importitem AS i
                CROSS JOIN LATERAL (
                    SELECT coalesce(sum(line.quantity), 0) AS quantity, coalesce(sum(line.cif_fc), 0) AS value
                    FROM ledger_billofentryline AS line
                    WHERE line.import_item_id = i.id AND line.transaction_type = 'D'
                ) AS debited
                CROSS JOIN LATERAL (
                    SELECT coalesce(sum(line.quantity), 0) AS quantity, coalesce(sum(line.cif_fc), 0) AS value
                    FROM ledger_allotmentline AS line
                    WHERE line.import_item_id = i.id
                        -- linked to any bill of entry, an allotment is released whole
                        AND NOT EXISTS (
                            SELECT FROM ledger_allotment_bills_of_entry AS link
                            WHERE link.allotment_id = line.allotment_id
                            OFFSET 0
                        )
                ) AS allotted
                WHERE i.license_id = license.id
            ) AS item ON true
            LEFT JOIN LATERAL (
                -- the pools that the item's names put it in, each once
                SELECT DISTINCT norm.id AS norm_id, norm.code AS norm, name.restriction_percentage AS percentage
                FROM (
                    SELECT itemname_id FROM license_importitem_item_names WHERE importitem_id = item.id OFFSET 0
                ) AS link
                CROSS JOIN LATERAL (
                    SELECT sion_norm_id, restriction_percentage FROM license_itemname WHERE id = link.itemname_id OFFSET 0
                ) AS name
                CROSS JOIN LATERAL (
                    SELECT id, code FROM license_sionnorm WHERE id = name.sion_norm_id OFFSET 0
                ) AS norm
                WHERE item.sheet_percentage IS NULL
                    AND name.restriction_percentage > 0
                    AND license.notification_number <> '098/2009'
                    AND license.purchase_status <> 'CO'
                    AND EXISTS (
                        SELECT FROM license_exportitem AS export
                        WHERE export.license_id = license.id AND export.norm_id = norm.id
                        OFFSET 0
                    )
            ) AS restriction ON true
            WHERE license.id = ANY(%(license_ids)s::bigint[])
        ) AS fact
    ) AS pooled
) AS ruled
-- the smallest pool is the value; of equal ones the lowest norm, then the lowest percentage is the one named
ORDER BY license_id, import_item_id, own_value, pool_norm COLLATE "C", pool_percentage
