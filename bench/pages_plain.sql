-- Every import item with 1 or more left and some value: its license has one export item.
SELECT license.id, license.currency, of_license.balance_cif, export.norm_id, hs.code, item.description,
    balance.available_quantity, balance.available_value
FROM license_importitem AS item
JOIN license_license AS license ON license.id = item.license_id
JOIN license_exportitem AS export ON export.license_id = license.id
JOIN license_hscode AS hs ON hs.id = item.hs_code_id
JOIN ledger_licensebalance AS of_license ON of_license.license_id = license.id
JOIN ledger_importitembalance AS balance ON balance.import_item_id = item.id AND balance.license_id = license.id
WHERE balance.available_quantity >= 1 AND balance.available_value > 0
