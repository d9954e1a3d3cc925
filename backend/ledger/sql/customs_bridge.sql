-- From what customs has left of a license to what we have, part by part: the parts add up to the difference. Ours is the
-- stored balance. of_licenses NULL: every license of which a ledger is held.
SELECT
    customs.license_id,
    customs.as_of,
    customs.balance_cif_fc IS NULL AS is_reckoned, -- the ledger has no Bal.CIF-FC
    coalesce(customs.balance_cif_fc, customs.cif_fc - customs.debited_cif_fc) AS customs_balance_cif,
    coalesce(customs.cif_fc - customs.debited_cif_fc - customs.balance_cif_fc, 0) AS totals,
    balance.credit_cif - customs.cif_fc AS entitlement,
    customs.debited_cif_fc - (balance.debited_cif - unseen.unconfirmed - unseen.later) AS edited,
    -unseen.unconfirmed AS unconfirmed,
    -unseen.later AS later,
    -balance.allotted_cif AS allotted,
    balance.balance_cif - balance.overdrawn_cif AS raw
FROM ledger_customsbalance AS customs
JOIN license_license AS license ON license.id = customs.license_id -- it may be gone
JOIN ledger_licensebalance AS balance ON balance.license_id = customs.license_id
LEFT JOIN (
    SELECT
        license_id, sum(cif_fc) FILTER (WHERE NOT is_later) AS unconfirmed, sum(cif_fc) FILTER (WHERE is_later) AS later
    FROM (
        /* include unconfirmed_debits.sql */
    ) AS debit
    GROUP BY license_id
) AS own ON own.license_id = customs.license_id
CROSS JOIN LATERAL (
    SELECT coalesce(own.unconfirmed, 0) AS unconfirmed, coalesce(own.later, 0) AS later
) AS unseen
WHERE %(of_licenses)s::bigint[] IS NULL OR customs.license_id = ANY (%(of_licenses)s::bigint[])
