-- The licenses of an array whose balances, as the batch of today stored them, are not those of the rules.
SELECT DISTINCT expected.license_id
FROM (
    /* include expected.sql */
) AS expected
LEFT JOIN peers_todaylicense AS license ON license.license_id = expected.license_id
LEFT JOIN peers_todayitem AS item ON item.item_id = expected.import_item_id
WHERE (
    license.balance_cif, license.is_null, license.is_expired, item.debited_quantity, item.debited_value,
    item.allotted_quantity, item.allotted_value, item.available_quantity, item.available_value
) IS DISTINCT FROM (
    expected.balance_cif, expected.is_null, expected.is_expired, expected.debited_quantity, expected.debited_value,
    expected.allotted_quantity, expected.allotted_value, expected.available_quantity, expected.available_value
)
