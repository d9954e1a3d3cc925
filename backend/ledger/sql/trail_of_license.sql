-- The trail of all that a license is made of, the newest first: of itself, its items, what was ever debited, allotted or
-- named on them, and of the documents and names themselves. older_than: the id of an entry, or NULL.
WITH item AS MATERIALIZED (
    SELECT id FROM license_importitem WHERE license_id = %(license_id)s
    UNION
    SELECT row_id FROM ledger_trailentry WHERE table_name = 'license_importitem' AND owner_id = %(license_id)s
), of_item AS MATERIALIZED (
    SELECT * FROM ledger_trailentry
    WHERE table_name = ANY('{ledger_billofentryline,ledger_allotmentline,license_importitem_item_names}')
        AND owner_id = ANY(ARRAY(SELECT id FROM item))
), image AS MATERIALIZED (
    SELECT table_name, unnest(ARRAY[before, after]) AS fact FROM of_item
), subject AS MATERIALIZED (
    SELECT 'license_license' AS table_name, %(license_id)s::bigint AS owner_id
    UNION ALL
    SELECT unnest(ARRAY['license_exportitem', 'license_importitem']), %(license_id)s::bigint
    UNION ALL
    SELECT own.table_name, allotment.id
    FROM (
        SELECT allotment_id AS id FROM ledger_allotmentline WHERE import_item_id = ANY(ARRAY(SELECT id FROM item))
        UNION
        SELECT (fact ->> 'allotment_id')::bigint FROM image WHERE table_name = 'ledger_allotmentline'
    ) AS allotment
    CROSS JOIN unnest(ARRAY['ledger_allotment', 'ledger_allotment_bills_of_entry', 'ledger_allotmentrelease'])
        AS own (table_name)
    UNION ALL
    SELECT 'ledger_billofentry', id
    FROM (
        SELECT bill_of_entry_id AS id FROM ledger_billofentryline WHERE import_item_id = ANY(ARRAY(SELECT id FROM item))
        UNION
        SELECT (fact ->> 'bill_of_entry_id')::bigint FROM image WHERE table_name = 'ledger_billofentryline'
    ) AS bill
    UNION ALL
    SELECT 'license_itemname', id
    FROM (
        SELECT itemname_id AS id FROM license_importitem_item_names WHERE importitem_id = ANY(ARRAY(SELECT id FROM item))
        UNION
        SELECT (fact ->> 'itemname_id')::bigint FROM image WHERE table_name = 'license_importitem_item_names'
    ) AS name
)
SELECT entry.id, entry.table_name, entry.row_id, entry.before::text, entry.after::text, entry.statement_id
FROM (
    SELECT id, table_name, row_id, before, after, statement_id FROM of_item
    UNION ALL
    SELECT entry.id, entry.table_name, entry.row_id, entry.before, entry.after, entry.statement_id
    FROM subject
    CROSS JOIN LATERAL (
        SELECT * FROM ledger_trailentry
        WHERE table_name = subject.table_name AND owner_id = subject.owner_id
        OFFSET 0
    ) AS entry
) AS entry
WHERE entry.id < coalesce(%(older_than)s, 9223372036854775807)
ORDER BY entry.id DESC
LIMIT %(at_most)s
