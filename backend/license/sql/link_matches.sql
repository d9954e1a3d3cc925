-- Links import items to the names that rules propose, unless somebody has linked or deleted the item meanwhile.
WITH item AS MATERIALIZED ( -- locked as a foreign key locks it: not deleted before we commit
    SELECT id
    FROM license_importitem
    WHERE id = ANY(%(import_item_ids)s::bigint[])
        AND NOT EXISTS (SELECT FROM license_importitem_item_names AS link WHERE link.importitem_id = license_importitem.id)
    ORDER BY id
    FOR KEY SHARE
)
INSERT INTO license_importitem_item_names (importitem_id, itemname_id)
SELECT item.id, name.id
FROM unnest(%(import_item_ids)s::bigint[], %(item_name_ids)s::bigint[]) AS wanted (import_item_id, item_name_id)
JOIN item ON item.id = wanted.import_item_id
JOIN license_itemname AS name ON name.id = wanted.item_name_id
ORDER BY item.id, name.id
ON CONFLICT (importitem_id, itemname_id) DO NOTHING
