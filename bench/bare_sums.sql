-- The limit: the two sums over the same lines that no definition of a balance can do without, and nothing else.
SELECT i.license_id, i.id, sum(d.quantity), sum(d.cif_fc), sum(a.quantity), sum(a.cif_fc)
FROM license_importitem AS i
LEFT JOIN (
    SELECT l.import_item_id, sum(l.quantity) AS quantity, sum(l.cif_fc) AS cif_fc
    FROM license_importitem AS i JOIN ledger_billofentryline AS l ON l.import_item_id = i.id
    WHERE %(license_ids)s::bigint[] IS NULL OR i.license_id = ANY(%(license_ids)s::bigint[])
    GROUP BY l.import_item_id
) AS d ON d.import_item_id = i.id
LEFT JOIN (
    SELECT l.import_item_id, sum(l.quantity) AS quantity, sum(l.cif_fc) AS cif_fc
    FROM license_importitem AS i JOIN ledger_allotmentline AS l ON l.import_item_id = i.id
    WHERE %(license_ids)s::bigint[] IS NULL OR i.license_id = ANY(%(license_ids)s::bigint[])
    GROUP BY l.import_item_id
) AS a ON a.import_item_id = i.id
WHERE %(license_ids)s::bigint[] IS NULL OR i.license_id = ANY(%(license_ids)s::bigint[])
GROUP BY i.id
