-- Gives up the allotments whose last day has passed and that still reserve. Yields their ids.
INSERT INTO ledger_allotmentrelease (allotment_id)
SELECT id
FROM ledger_allotment AS allotment
WHERE last_day < %(today)s::date
    AND NOT EXISTS (SELECT FROM ledger_allotment_bills_of_entry WHERE allotment_id = allotment.id)
ON CONFLICT DO NOTHING
RETURNING allotment_id
