-- What every balance should be: the one definition of docs/rules.md, for the licenses of an array.
--
-- Parameters: license_ids bigint[]; today date (NULL: the Indian date of this very statement).
-- Yields one row for each import item, with what its license has beside it, and one row with import_item_id NULL for
-- a license without import items. Numbers are exact and unconstrained: what does not fit its column fails where it is
-- stored, not here.
--
-- Each fact is read once, by index, for all licenses of the array, and the parts are put together by FULL JOIN, though
-- no part has rows that the one before has not: it is the join that no planner makes a loop over all pairs, whatever it
-- believes of the sizes (docs/decisions/0005-expected-in-one-pass.md).
WITH item AS MATERIALIZED (
    SELECT id, license_id, serial_number, quantity, cif_fc, cif_inr, restriction_percentage
    FROM license_importitem
    WHERE license_id = ANY(%(license_ids)s::bigint[])
)
SELECT DISTINCT ON (license_id, import_item_id)
    license_id,
    credit_cif,
    debited_cif,
    allotted_cif,
    greatest(raw, 0) AS balance_cif,
    greatest(-raw, 0) AS overdrawn_cif,
    greatest(raw, 0) < 500.00 AS is_null,
    coalesce(license_expiry_date < today, false) AS is_expired,
    2 AS rule_version, -- count up with every change of a rule: older balances are then written anew
    import_item_id,
    debited_quantity,
    debited_value,
    allotted_quantity,
    allotted_value,
    greatest(left_quantity, 0) AS available_quantity,
    greatest(-left_quantity, 0) AS overdrawn_quantity,
    least(greatest(own_value, 0), greatest(raw, 0)) AS available_value,
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
        quantity - debited_quantity - allotted_quantity AS left_quantity,
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
            sum(debited_value) FILTER (WHERE is_first) OVER of_license AS debited_cif,
            sum(allotted_value) FILTER (WHERE is_first) OVER of_license AS allotted_cif,
            credit_cif - sum(debited_value + allotted_value) FILTER (WHERE is_first) OVER of_license AS raw,
            count(*) FILTER (WHERE is_first) OVER of_license AS items,
            count(*) FILTER (WHERE serial_number <> 1 AND (cif_fc <> 0 OR cif_inr <> 0)) OVER of_license
                AS others_with_value,
            round(credit_cif * pool_percentage / 100, 2) AS pool_limit,
            sum(debited_value + allotted_value) FILTER (WHERE is_first OR pool_norm IS NOT NULL) OVER of_pool
                AS pool_used
        FROM (
            -- each import item, once for each pool that its names could put it in
            SELECT
                license.id AS license_id,
                license.license_expiry_date,
                coalesce(%(today)s::date, (statement_timestamp() AT TIME ZONE 'Asia/Kolkata')::date) AS today,
                coalesce(credit.cif_fc, 0) AS credit_cif,
                item.id AS import_item_id,
                item.serial_number,
                item.quantity,
                item.cif_fc,
                item.cif_inr,
                coalesce(debited.quantity, 0) AS debited_quantity,
                coalesce(debited.value, 0) AS debited_value,
                coalesce(allotted.quantity, 0) AS allotted_quantity,
                coalesce(allotted.value, 0) AS allotted_value,
                coalesce(named.number, 1) = 1 AS is_first,
                -- the license's own sheet decides alone; a pool that does not apply is none
                CASE
                    WHEN item.restriction_percentage IS NULL AND license.do_names_count
                        AND named.norm_id = ANY(credit.norm_ids)
                    THEN named.norm
                END AS pool_norm,
                CASE
                    WHEN item.restriction_percentage IS NOT NULL THEN nullif(item.restriction_percentage, 0)
                    WHEN license.do_names_count AND named.norm_id = ANY(credit.norm_ids) THEN named.percentage
                END AS pool_percentage
            FROM (
                SELECT
                    id,
                    license_expiry_date,
                    notification_number <> '098/2009' AND purchase_status <> 'CO' AS do_names_count
                FROM license_license
                WHERE id = ANY(%(license_ids)s::bigint[])
            ) AS license
            FULL JOIN (
                SELECT license_id, sum(cif_fc) AS cif_fc, array_agg(norm_id) AS norm_ids
                FROM license_exportitem
                WHERE license_id = ANY(%(license_ids)s::bigint[])
                GROUP BY license_id
            ) AS credit ON credit.license_id = license.id
            FULL JOIN item ON item.license_id = license.id
            FULL JOIN (
                SELECT import_item_id, sum(quantity) AS quantity, sum(cif_fc) AS value
                FROM ledger_billofentryline
                WHERE import_item_id = ANY(ARRAY(SELECT id FROM item)) AND transaction_type = 'D'
                GROUP BY import_item_id
            ) AS debited ON debited.import_item_id = item.id
            FULL JOIN (
                SELECT import_item_id, sum(quantity) AS quantity, sum(cif_fc) AS value
                FROM ledger_allotmentline AS line
                WHERE import_item_id = ANY(ARRAY(SELECT id FROM item))
                    -- linked to any bill of entry, an allotment is released whole
                    AND NOT EXISTS (
                        SELECT FROM ledger_allotment_bills_of_entry AS link
                        WHERE link.allotment_id = line.allotment_id
                        OFFSET 0
                    )
                    -- so it is when it is given up
                    AND NOT EXISTS (
                        SELECT FROM ledger_allotmentrelease WHERE allotment_id = line.allotment_id OFFSET 0
                    )
                GROUP BY import_item_id
            ) AS allotted ON allotted.import_item_id = item.id
            FULL JOIN (
                -- each pool once, numbered within its item
                SELECT DISTINCT ON (importitem_id, norm_id, percentage)
                    importitem_id, norm_id, percentage, code AS norm,
                    dense_rank() OVER (PARTITION BY importitem_id ORDER BY norm_id, percentage) AS number
                FROM (
                    SELECT importitem_id, itemname_id FROM license_importitem_item_names
                    WHERE importitem_id = ANY(ARRAY(SELECT id FROM item))
                    OFFSET 0
                ) AS link
                CROSS JOIN LATERAL (
                    SELECT sion_norm_id AS norm_id, restriction_percentage AS percentage
                    FROM license_itemname
                    WHERE id = link.itemname_id AND restriction_percentage > 0
                    OFFSET 0
                ) AS name
                CROSS JOIN LATERAL (SELECT code FROM license_sionnorm WHERE id = name.norm_id OFFSET 0) AS norm
                ORDER BY importitem_id, norm_id, percentage
            ) AS named ON named.importitem_id = item.id
        ) AS fact
        WINDOW of_license AS (PARTITION BY license_id), of_pool AS (PARTITION BY license_id, pool_norm, pool_percentage)
    ) AS pooled
    OFFSET 0 -- else each column that is used twice below is computed twice
) AS ruled
-- a pool that applies counts before one that does not; of those that do, the smallest is the value; of equal ones the
-- lowest norm, then the lowest percentage is the one named
ORDER BY license_id, import_item_id, pool_norm IS NULL, own_value, pool_norm COLLATE "C", pool_percentage
