-- From what customs has left of a license to what we have, part by part: the parts add up to the difference. Ours is the
-- stored balance. of_licenses NULL: every license of which a ledger is held.
SELECT
    customs.license_id,
    customs.as_of,
    customs.balance_cif_fc IS NULL AS is_reckoned, -- the ledger has no Bal.CIF-FC
    coalesce(customs.balance_cif_fc, customs.cif_fc - customs.debited_cif_fc) AS customs_balance_cif,
    coalesce(customs.cif_fc - customs.debited_cif_fc - customs.balance_cif_fc, 0) AS totals,
    balance.credit_cif - customs.cif_fc AS entitlement,
    customs.debited_cif_fc - (balance.debited_cif - own.unconfirmed - own.later) AS edited,
    -own.unconfirmed AS unconfirmed,
    -own.later AS later,
    -balance.allotted_cif AS allotted,
    balance.balance_cif - balance.overdrawn_cif AS raw
FROM ledger_customsbalance AS customs
JOIN license_license AS license ON license.id = customs.license_id -- it may be gone
JOIN ledger_licensebalance AS balance ON balance.license_id = customs.license_id
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(line.cif_fc) FILTER (WHERE NOT coalesce(bill.date > customs.as_of, false)), 0) AS unconfirmed,
        coalesce(sum(line.cif_fc) FILTER (WHERE bill.date > customs.as_of), 0) AS later
    FROM license_importitem AS item
    JOIN ledger_billofentryline AS line ON line.import_item_id = item.id
    JOIN ledger_billofentry AS bill ON bill.id = line.bill_of_entry_id
    WHERE item.license_id = customs.license_id
        AND line.transaction_type = 'D'
        AND (line.source = 'manual' OR line.disputed_since IS NOT NULL)
) AS own
WHERE %(of_licenses)s::bigint[] IS NULL OR customs.license_id = ANY (%(of_licenses)s::bigint[])
