-- Licenses with an import item of which more is used than it has.
SELECT DISTINCT license_id
FROM ledger_importitembalance
WHERE overdrawn_quantity > 0 OR overdrawn_value > 0
