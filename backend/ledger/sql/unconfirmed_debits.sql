-- Our debits that the newest ledger of customs does not show; those of a bill dated after that ledger too (`is_later`),
-- which it cannot show. of_licenses NULL: of all licenses of which we hold a ledger.
SELECT
    line.id,
    line.bill_of_entry_id,
    line.import_item_id,
    item.license_id,
    item.serial_number,
    item.unit,
    line.quantity,
    line.cif_fc,
    line.disputed_since,
    bill.number,
    bill.date,
    bill.port_id,
    coalesce(license.ledger_as_of, license.ledger_date) AS ledger_as_of,
    coalesce(bill.date > coalesce(license.ledger_as_of, license.ledger_date), false) AS is_later
FROM ledger_billofentryline AS line
JOIN license_importitem AS item ON item.id = line.import_item_id
JOIN license_license AS license ON license.id = item.license_id
JOIN ledger_billofentry AS bill ON bill.id = line.bill_of_entry_id
WHERE line.transaction_type = 'D'
    AND (line.source = 'manual' OR line.disputed_since IS NOT NULL)
    AND (line.disputed_since IS NOT NULL OR coalesce(license.ledger_as_of, license.ledger_date) IS NOT NULL)
    AND (line.cif_fc > 0 OR line.quantity > 0)
    AND (%(of_licenses)s::bigint[] IS NULL OR license.id = ANY (%(of_licenses)s::bigint[]))
