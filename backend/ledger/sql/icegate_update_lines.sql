-- Debits that we have: the ledger's figures stand, and a dispute ends. A line that was typed becomes customs' own.
WITH told AS (
    SELECT debit.*, line.id AS line_id, line.source AS source_before, line.cif_fc AS cif_fc_before,
        line.quantity AS quantity_before
    FROM incoming_debit AS debit
    JOIN ledger_billofentryline AS line
        ON line.bill_of_entry_id = debit.bill_of_entry_id
        AND line.import_item_id = debit.import_item_id
        AND line.transaction_type = 'D'
)
UPDATE ledger_billofentryline AS line
SET quantity = told.quantity,
    cif_fc = told.cif_fc,
    cif_inr = told.cif_inr,
    source = 'icegate',
    disputed_since = NULL
FROM told
WHERE line.id = told.line_id
    AND (line.quantity, line.cif_fc, line.cif_inr, line.source, line.disputed_since)
        IS DISTINCT FROM (told.quantity, told.cif_fc, told.cif_inr, 'icegate', NULL::date)
RETURNING
    told.license_number,
    CASE
        WHEN told.source_before = 'manual' AND (told.cif_fc_before, told.quantity_before) <> (told.cif_fc, told.quantity)
            THEN format(
                'item %%s, bill of entry %%s: typed as %%s for %%s, now as customs has it: %%s for %%s',
                told.serial_number, told.number, told.quantity_before, told.cif_fc_before,
                told.quantity::numeric(15, 3), told.cif_fc::numeric(15, 2)
            )
    END AS note
