-- Licenses whose export items add up to something else than the ledger's CIF-FC: somebody typed them, or added to them.
SELECT
    incoming.license_number,
    format(
        'our export items add up to %%s, the ledger says CIF-FC %%s; what was typed stays',
        sum(item.cif_fc), incoming.cif_fc
    ) AS note
FROM incoming_license AS incoming
JOIN license_exportitem AS item ON item.license_id = incoming.license_id
GROUP BY incoming.license_number, incoming.cif_fc
HAVING abs(sum(item.cif_fc) - incoming.cif_fc) > 1.00
