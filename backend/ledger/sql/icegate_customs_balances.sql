-- What customs itself has left, by its newest ledger. It is no fact: nothing of ours depends on it.
INSERT INTO ledger_customsbalance AS customs (license_id, as_of, cif_fc, debited_cif_fc, balance_cif_fc)
SELECT incoming.license_id, incoming.as_of, incoming.cif_fc, coalesce(sum(debit.cif_fc), 0), incoming.balance_cif_fc
FROM incoming_license AS incoming
LEFT JOIN incoming_debit AS debit ON debit.license_number = incoming.license_number
GROUP BY incoming.license_number
ORDER BY incoming.license_id
ON CONFLICT (license_id) DO UPDATE
SET as_of = excluded.as_of,
    cif_fc = excluded.cif_fc,
    debited_cif_fc = excluded.debited_cif_fc,
    balance_cif_fc = excluded.balance_cif_fc
WHERE (customs.as_of, customs.cif_fc, customs.debited_cif_fc, customs.balance_cif_fc)
    IS DISTINCT FROM (excluded.as_of, excluded.cif_fc, excluded.debited_cif_fc, excluded.balance_cif_fc)
