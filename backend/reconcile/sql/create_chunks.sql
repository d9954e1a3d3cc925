-- Cuts all licenses, and those of which a balance is left, into ranges of ids.
INSERT INTO reconcile_reconciliationchunk (run_id, first_license_id, last_license_id)
SELECT %(run_id)s, min(license_id), max(license_id)
FROM (
    SELECT license_id, (row_number() OVER (ORDER BY license_id) - 1) / %(batch_size)s AS chunk
    FROM (
        SELECT id AS license_id FROM license_license
        UNION SELECT license_id FROM ledger_licensebalance
        UNION SELECT license_id FROM ledger_importitembalance
    ) AS every
) AS numbered
GROUP BY chunk
ORDER BY chunk
