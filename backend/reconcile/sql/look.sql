-- A first look: which licenses of an array have balances that are not the expected ones, a row that is missing or left
-- over among them. Whether that is drift, and of what, is for audit.sql to say.
--
-- FULL JOIN finds what is left over, and no planner makes a loop over all pairs of it.
SELECT DISTINCT license_id
FROM (
    /* include expected.sql */
) AS expected
FULL JOIN (
    SELECT * FROM ledger_importitembalance WHERE license_id = ANY(%(license_ids)s::bigint[])
) AS item USING (license_id, import_item_id)
FULL JOIN (
    SELECT * FROM ledger_licensebalance WHERE license_id = ANY(%(license_ids)s::bigint[])
) AS license USING (license_id)
WHERE (
    license.license_id, license.credit_cif, license.debited_cif, license.allotted_cif, license.balance_cif,
    license.overdrawn_cif, license.is_null, license.is_expired, license.rule_version
) IS DISTINCT FROM (
    expected.license_id, expected.credit_cif, expected.debited_cif, expected.allotted_cif, expected.balance_cif,
    expected.overdrawn_cif, expected.is_null, expected.is_expired, expected.rule_version
) OR (
    -- a license without items has one row, without an item
    (expected.import_item_id IS NOT NULL OR expected.license_id IS NULL)
    AND (
        item.license_id, item.debited_quantity, item.debited_value, item.allotted_quantity, item.allotted_value,
        item.available_quantity, item.overdrawn_quantity, item.available_value, item.overdrawn_value
    ) IS DISTINCT FROM (
        expected.license_id, expected.debited_quantity, expected.debited_value, expected.allotted_quantity,
        expected.allotted_value, expected.available_quantity, expected.overdrawn_quantity, expected.available_value,
        expected.overdrawn_value
    )
)
