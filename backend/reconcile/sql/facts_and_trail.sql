-- For audit.sql: every fact row of a license (`suspect`) with its writer, and every later entry (than `since`) that the
-- trail has of one; each with the item that it counts for, where it counts for one.
SELECT
    'license_license' AS table_name, NULL::bigint AS item_id, id AS owner_id, id AS row_id, xmin AS writer,
    NULL::bigint AS entry_id, NULL::bigint AS statement_id, NULL::jsonb AS before, NULL::jsonb AS after
FROM license_license
WHERE id = suspect.license_id
UNION ALL
SELECT 'license_exportitem', NULL, license_id, id, xmin, NULL, NULL, NULL, NULL
FROM license_exportitem
WHERE license_id = suspect.license_id
UNION ALL
SELECT
    table_name, CASE WHEN table_name = 'license_importitem' THEN row_id END, owner_id, row_id, NULL, id, statement_id,
    before, after
FROM ledger_trailentry
WHERE table_name IN ('license_license', 'license_exportitem', 'license_importitem')
    AND owner_id = suspect.license_id AND id > since.entry_id
UNION ALL
SELECT of_item.*
FROM (SELECT id, license_id, xmin FROM license_importitem WHERE license_id = suspect.license_id OFFSET 0) AS i
CROSS JOIN LATERAL (
    SELECT
        'license_importitem' AS table_name, i.id AS item_id, i.license_id AS owner_id, i.id AS row_id,
        i.xmin AS writer, NULL::bigint AS entry_id, NULL::bigint AS statement_id, NULL::jsonb AS before,
        NULL::jsonb AS after
    UNION ALL
    SELECT 'ledger_billofentryline', i.id, i.id, id, xmin, NULL, NULL, NULL, NULL
    FROM ledger_billofentryline
    WHERE import_item_id = i.id
    UNION ALL
    SELECT table_name, i.id, i.id, row_id, NULL, id, statement_id, before, after
    FROM ledger_trailentry
    WHERE table_name IN ('ledger_billofentryline', 'ledger_allotmentline', 'license_importitem_item_names')
        AND owner_id = i.id AND id > since.entry_id
    UNION ALL
    SELECT of_line.*
    FROM (SELECT id, allotment_id, xmin FROM ledger_allotmentline WHERE import_item_id = i.id OFFSET 0) AS line
    CROSS JOIN LATERAL (
        SELECT
            'ledger_allotmentline' AS table_name, i.id AS item_id, i.id AS owner_id, line.id AS row_id,
            line.xmin AS writer, NULL::bigint AS entry_id, NULL::bigint AS statement_id, NULL::jsonb AS before,
            NULL::jsonb AS after
        UNION ALL
        SELECT 'ledger_allotment_bills_of_entry', i.id, line.allotment_id, id, xmin, NULL, NULL, NULL, NULL
        FROM ledger_allotment_bills_of_entry
        WHERE allotment_id = line.allotment_id
        UNION ALL
        SELECT 'ledger_allotmentrelease', i.id, line.allotment_id, id, xmin, NULL, NULL, NULL, NULL
        FROM ledger_allotmentrelease
        WHERE allotment_id = line.allotment_id
        UNION ALL
        SELECT table_name, i.id, line.allotment_id, row_id, NULL, id, statement_id, before, after
        FROM ledger_trailentry
        WHERE table_name IN ('ledger_allotment_bills_of_entry', 'ledger_allotmentrelease')
            AND owner_id = line.allotment_id AND id > since.entry_id
        OFFSET 0
    ) AS of_line
    UNION ALL
    SELECT of_link.*
    FROM (
        SELECT id, itemname_id, xmin FROM license_importitem_item_names WHERE importitem_id = i.id OFFSET 0
    ) AS link
    CROSS JOIN LATERAL (
        SELECT
            'license_importitem_item_names' AS table_name, i.id AS item_id, i.id AS owner_id, link.id AS row_id,
            link.xmin AS writer, NULL::bigint AS entry_id, NULL::bigint AS statement_id, NULL::jsonb AS before,
            NULL::jsonb AS after
        UNION ALL
        SELECT 'license_itemname', i.id, id, id, xmin, NULL, NULL, NULL, NULL
        FROM license_itemname
        WHERE id = link.itemname_id
        UNION ALL
        SELECT table_name, i.id, link.itemname_id, row_id, NULL, id, statement_id, before, after
        FROM ledger_trailentry
        WHERE table_name = 'license_itemname' AND owner_id = link.itemname_id AND id > since.entry_id
        OFFSET 0
    ) AS of_link
    OFFSET 0
) AS of_item
