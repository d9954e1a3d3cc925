-- The licenses of an array whose balances, as django-computedfields computed them, are not those of the rules.
SELECT DISTINCT expected.license_id
FROM (
    /* include expected.sql */
) AS expected
LEFT JOIN peers_license AS license ON license.id = expected.license_id
LEFT JOIN peers_importitem AS item ON item.id = expected.import_item_id
WHERE (
    license.credit_cif, license.debited_cif, license.allotted_cif, license.balance_cif, license.overdrawn_cif,
    license.is_null, license.is_expired, item.debited_quantity, item.debited_value, item.allotted_quantity,
    item.allotted_value, item.available_quantity, item.overdrawn_quantity, item.available_value, item.overdrawn_value
) IS DISTINCT FROM (
    expected.credit_cif, expected.debited_cif, expected.allotted_cif, expected.balance_cif, expected.overdrawn_cif,
    expected.is_null, expected.is_expired, expected.debited_quantity, expected.debited_value,
    expected.allotted_quantity, expected.allotted_value, expected.available_quantity, expected.overdrawn_quantity,
    expected.available_value, expected.overdrawn_value
)
