-- What every balance should be: the one definition of docs/rules.md, for the licenses of an array, or for all (NULL).
--
-- Parameters: license_ids bigint[]; today date (NULL: the Indian date of this very statement).
-- Yields one row for each import item, with what its license has beside it, and one row with import_item_id NULL for
-- a license without import items. Numbers are exact and unconstrained: what does not fit its column fails where it is
-- stored, not here.
--
-- It is one pass of sorts and windows on purpose: no part is read twice, since two readings of one CTE are joined
-- without statistics, in nested loops (docs/decisions/0005-expected-in-one-pass.md).
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
            LEFT JOIN (
                SELECT license_id, sum(cif_fc) AS cif_fc
                FROM license_exportitem
                WHERE %(license_ids)s::bigint[] IS NULL OR license_id = ANY(%(license_ids)s::bigint[])
                GROUP BY license_id
            ) AS credit ON credit.license_id = license.id
            LEFT JOIN (
                SELECT
                    debited.*,
                    coalesce(allotted.quantity, 0) AS allotted_quantity,
                    coalesce(allotted.value, 0) AS allotted_value,
                    sum(debited.debited_value) OVER of_license AS debited_cif,
                    sum(allotted.value) OVER of_license AS allotted_cif,
                    count(*) OVER of_license AS items,
                    count(*) FILTER (
                        WHERE debited.serial_number <> 1 AND (debited.cif_fc <> 0 OR debited.cif_inr <> 0)
                    ) OVER of_license AS others_with_value,
                    sum(debited.debited_value + coalesce(allotted.value, 0))
                        OVER (PARTITION BY debited.license_id, debited.sheet_percentage) AS sheet_used
                FROM (
                    SELECT
                        i.id,
                        i.license_id,
                        i.serial_number,
                        i.quantity,
                        i.cif_fc,
                        i.cif_inr,
                        i.restriction_percentage AS sheet_percentage,
                        coalesce(sum(line.quantity), 0) AS debited_quantity,
                        coalesce(sum(line.cif_fc), 0) AS debited_value
                    FROM license_importitem AS i
                    LEFT JOIN ledger_billofentryline AS line
                        ON line.import_item_id = i.id AND line.transaction_type = 'D'
                    WHERE %(license_ids)s::bigint[] IS NULL OR i.license_id = ANY(%(license_ids)s::bigint[])
                    GROUP BY i.id
                ) AS debited
                LEFT JOIN (
                    SELECT line.import_item_id, sum(line.quantity) AS quantity, sum(line.cif_fc) AS value
                    FROM license_importitem AS i
                    JOIN ledger_allotmentline AS line ON line.import_item_id = i.id
                    WHERE (%(license_ids)s::bigint[] IS NULL OR i.license_id = ANY(%(license_ids)s::bigint[]))
                        -- linked to any bill of entry, an allotment is released whole
                        AND NOT EXISTS (
                            SELECT FROM ledger_allotment_bills_of_entry AS link
                            WHERE link.allotment_id = line.allotment_id
                        )
                    GROUP BY line.import_item_id
                ) AS allotted ON allotted.import_item_id = debited.id
                WINDOW of_license AS (PARTITION BY debited.license_id)
            ) AS item ON item.license_id = license.id
            LEFT JOIN LATERAL (
                -- the pools that the item's names put it in, each once; LATERAL, an index look-up for each item: joined
                -- as a set its size is guessed far too small, and the join becomes a nested loop over all pairs
                SELECT DISTINCT norm.id AS norm_id, norm.code AS norm, name.restriction_percentage AS percentage
                FROM license_importitem_item_names AS link
                JOIN license_itemname AS name ON name.id = link.itemname_id
                JOIN license_sionnorm AS norm ON norm.id = name.sion_norm_id
                WHERE link.importitem_id = item.id
                    AND item.sheet_percentage IS NULL
                    AND name.restriction_percentage > 0
                    AND license.notification_number <> '098/2009'
                    AND license.purchase_status <> 'CO'
                    AND EXISTS (
                        SELECT FROM license_exportitem AS export
                        WHERE export.license_id = license.id AND export.norm_id = norm.id
                    )
            ) AS restriction ON true
            WHERE %(license_ids)s::bigint[] IS NULL OR license.id = ANY(%(license_ids)s::bigint[])
        ) AS fact
    ) AS pooled
) AS ruled
-- the smallest pool is the value; of equal ones the lowest norm, then the lowest percentage is the one named
ORDER BY license_id, import_item_id, own_value, pool_norm COLLATE "C", pool_percentage
