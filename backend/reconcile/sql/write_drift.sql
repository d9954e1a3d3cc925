-- Writes down what a run found in a chunk, and whether it was repaired: what is not found any more (drift and what is left
-- of it, as drift_of_licenses.sql yields them).
INSERT INTO reconcile_drift (
    run_id, chunk_id, license_id, import_item_id, license_number, serial_number, field, stored, expected, cause, evidence,
    repaired
)
SELECT
    %(run_id)s, %(chunk_id)s, drift.license_id, drift.import_item_id, drift.license_number, drift.serial_number,
    drift.field, drift.stored, drift.expected, drift.cause, drift.evidence,
    (drift.license_id, coalesce(drift.import_item_id, 0), drift.field) NOT IN (
        SELECT license_id, coalesce(import_item_id, 0), field
        FROM json_to_recordset(%(still)s::json) AS still (license_id bigint, import_item_id bigint, field text)
    )
FROM json_to_recordset(%(drift)s::json) AS drift (
    license_id bigint, import_item_id bigint, license_number text, serial_number bigint, field text, stored text,
    expected text, cause text, evidence jsonb
)
