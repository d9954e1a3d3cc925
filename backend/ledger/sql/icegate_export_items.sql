-- The entitlement: one export item that comes from the ledger and follows it. Where people typed the export items of a
-- license, theirs stay and none is added, or the credit would count twice; its norm is people's in either case.
WITH ours AS (
    SELECT DISTINCT ON (incoming.license_number) incoming.*, item.id AS export_item_id, item.source
    FROM incoming_license AS incoming
    LEFT JOIN license_exportitem AS item ON item.license_id = incoming.license_id
    ORDER BY incoming.license_number, item.source = 'icegate' DESC NULLS LAST, item.id
), updated AS (
    UPDATE license_exportitem AS item
    SET cif_fc = ours.cif_fc, cif_inr = ours.cif_inr, net_quantity = ours.quantity
    FROM ours
    WHERE item.id = ours.export_item_id
        AND ours.source = 'icegate'
        AND (item.cif_fc, item.cif_inr, item.net_quantity) IS DISTINCT FROM (ours.cif_fc, ours.cif_inr, ours.quantity)
    RETURNING ours.license_number
), created AS (
    INSERT INTO license_exportitem (license_id, cif_fc, cif_inr, net_quantity, source)
    SELECT license_id, cif_fc, cif_inr, quantity, 'icegate' FROM ours WHERE export_item_id IS NULL ORDER BY license_id
    RETURNING license_id
)
SELECT license_number, NULL AS note FROM updated
UNION ALL
SELECT ours.license_number, NULL FROM created JOIN ours USING (license_id)
