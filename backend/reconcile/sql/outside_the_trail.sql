-- For audit.sql: a fact row (`fact`), newer than the balance (`stored`), that is not what the trail last said of it, as far
-- as balances depend on it; or of which the trail says nothing, though it goes back further than the balance.
SELECT
    jsonb_build_object(
        'table', fact.table_name,
        'row_id', fact.row_id,
        'change', CASE WHEN changed.columns IS NULL THEN 'unseen' ELSE 'changed' END,
        'columns', coalesce(changed.columns, '{}'),
        'item_id', fact.item_id
    ) AS fact_row
FROM (SELECT) AS here
LEFT JOIN LATERAL (
    SELECT id, after
    FROM ledger_trailentry
    WHERE table_name = fact.table_name AND owner_id = fact.owner_id AND row_id = fact.row_id
    ORDER BY id DESC
    LIMIT 1
) AS entry ON true
LEFT JOIN LATERAL (
    SELECT to_jsonb(t) AS image FROM license_license AS t
    WHERE fact.table_name = 'license_license' AND t.id = fact.row_id
    UNION ALL
    SELECT to_jsonb(t) AS image FROM license_exportitem AS t
    WHERE fact.table_name = 'license_exportitem' AND t.id = fact.row_id
    UNION ALL
    SELECT to_jsonb(t) AS image FROM license_importitem AS t
    WHERE fact.table_name = 'license_importitem' AND t.id = fact.row_id
    UNION ALL
    SELECT to_jsonb(t) AS image FROM license_importitem_item_names AS t
    WHERE fact.table_name = 'license_importitem_item_names' AND t.id = fact.row_id
    UNION ALL
    SELECT to_jsonb(t) AS image FROM license_itemname AS t
    WHERE fact.table_name = 'license_itemname' AND t.id = fact.row_id
    UNION ALL
    SELECT to_jsonb(t) AS image FROM ledger_billofentryline AS t
    WHERE fact.table_name = 'ledger_billofentryline' AND t.id = fact.row_id
    UNION ALL
    SELECT to_jsonb(t) AS image FROM ledger_allotmentline AS t
    WHERE fact.table_name = 'ledger_allotmentline' AND t.id = fact.row_id
    UNION ALL
    SELECT to_jsonb(t) AS image FROM ledger_allotment_bills_of_entry AS t
    WHERE fact.table_name = 'ledger_allotment_bills_of_entry' AND t.id = fact.row_id
    UNION ALL
    SELECT to_jsonb(t) AS image FROM ledger_allotmentrelease AS t
    WHERE fact.table_name = 'ledger_allotmentrelease' AND t.id = fact.row_id
    OFFSET 0
) AS now ON true
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(name, jsonb_build_array(entry.after ->> name, now.image ->> name)) AS columns
    FROM jsonb_array_elements_text(%(depends_on)s::jsonb -> fact.table_name) AS name
    WHERE entry.after IS NOT NULL AND entry.after -> name IS DISTINCT FROM now.image -> name
) AS changed
-- most rows are decided here, without a look at what is in them: the trail's last statement is of their writer (`last`)
WHERE fact.xid <> coalesce(last.xid, 0)
    AND CASE
        WHEN entry.id IS NULL THEN stored.computed_at >= (
            SELECT written_at FROM ledger_trailstatement ORDER BY id LIMIT 1
        )
        ELSE changed.columns IS NOT NULL OR entry.after IS NULL
    END
OFFSET 0
