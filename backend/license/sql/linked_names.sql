-- Yields (import_item_id, item_name_id, name) of the item names that these import items are linked to.
SELECT link.importitem_id, link.itemname_id, name.name
FROM license_importitem_item_names AS link
JOIN license_itemname AS name ON name.id = link.itemname_id
WHERE link.importitem_id = ANY(%(import_item_ids)s::bigint[])
ORDER BY link.importitem_id, name.name
