-- The licenses whose running totals are not what their facts say (bench/peers/row_totals.sql).
SELECT expected.license_id
FROM (
    /* include expected.sql */
) AS expected
LEFT JOIN row_totals.license USING (license_id)
LEFT JOIN row_totals.item USING (license_id, import_item_id)
WHERE (
    license.credit_cif, license.debited_cif, license.allotted_cif, license.balance_cif, license.overdrawn_cif,
    license.is_null, item.debited_quantity, item.debited_value, item.allotted_quantity, item.allotted_value
) IS DISTINCT FROM (
    expected.credit_cif, expected.debited_cif, expected.allotted_cif, expected.balance_cif, expected.overdrawn_cif,
    expected.is_null, expected.debited_quantity, expected.debited_value, expected.allotted_quantity,
    expected.allotted_value
)
