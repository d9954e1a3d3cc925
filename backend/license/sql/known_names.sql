-- Yields (id, name) of every item name.
SELECT id, name FROM license_itemname ORDER BY name
