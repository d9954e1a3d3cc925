-- The trail of all that licenses are made of, the newest first: of themselves, their items, what was ever debited,
-- allotted or named on them, and of the documents and names themselves. older_than: the id of an entry, or NULL; at_most:
-- NULL for all.
WITH item AS MATERIALIZED (
    SELECT id FROM license_importitem WHERE license_id = ANY(%(license_ids)s::bigint[])
    UNION
    SELECT row_id FROM ledger_trailentry
    WHERE table_name = 'license_importitem' AND owner_id = ANY(%(license_ids)s::bigint[])
), of_item AS MATERIALIZED (
    SELECT * FROM ledger_trailentry
    WHERE table_name = ANY('{ledger_billofentryline,ledger_allotmentline,license_importitem_item_names}')
        AND owner_id = ANY(ARRAY(SELECT id FROM item))
), image AS MATERIALIZED (
    SELECT table_name, unnest(ARRAY[before, after]) AS fact FROM of_item
), subject AS MATERIALIZED (
    SELECT own.table_name, license.id AS owner_id
    FROM unnest(%(license_ids)s::bigint[]) AS license (id)
    CROSS JOIN unnest(ARRAY['license_license', 'license_exportitem', 'license_importitem']) AS own (table_name)
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
SELECT id, table_name, row_id, before::text, after::text, statement_id
FROM (
    SELECT *
    FROM (
        SELECT * FROM of_item
        UNION ALL
        SELECT entry.*
        FROM subject
        CROSS JOIN LATERAL (
            SELECT * FROM ledger_trailentry
            WHERE table_name = subject.table_name AND owner_id = subject.owner_id
            OFFSET 0
        ) AS entry
    ) AS entry
    WHERE id < coalesce(%(older_than)s, 9223372036854775807)
    ORDER BY id DESC
    LIMIT %(at_most)s
) AS entry -- of which alone the text is made
ORDER BY id DESC
