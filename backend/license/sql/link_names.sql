-- Links import items to item names. A link that is there already stays.
INSERT INTO license_importitem_item_names (importitem_id, itemname_id)
SELECT import_item_id, item_name_id
FROM unnest(%(import_item_ids)s::bigint[], %(item_name_ids)s::bigint[]) AS wanted (import_item_id, item_name_id)
ORDER BY import_item_id, item_name_id
ON CONFLICT (importitem_id, itemname_id) DO NOTHING
