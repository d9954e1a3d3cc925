-- Deletes the chunks of runs that were over before a moment, but for those that drift was found in.
DELETE FROM reconcile_reconciliationchunk AS chunk
USING reconcile_reconciliationrun AS run
WHERE run.id = chunk.run_id
    AND run.finished_at < %(before)s
    AND NOT EXISTS (SELECT FROM reconcile_drift AS drift WHERE drift.chunk_id = chunk.id)
