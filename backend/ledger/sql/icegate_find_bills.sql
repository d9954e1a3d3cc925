-- Which of our bills of entry each incoming debit is of: number (without leading zeros, which spreadsheets eat) and
-- date decide. Of several it is the one that stands on this import item already, then the one of the same port, then
-- one without a port, then the oldest. Debit by debit: what else is loaded at the same time must not matter.
--
-- A bill of that number without a date is it too, where none has the date: if its port does not speak against it, and
-- if it stands on no license, or on this one. It can be one bill only: the earliest incoming date takes it.
--
-- MATERIALIZED, since PostgreSQL would else look for all bills without a date again for each debit.
WITH dated AS MATERIALIZED (
    SELECT DISTINCT ON (debit.position) debit.position, bill.id
    FROM incoming_debit AS debit
    JOIN ledger_billofentry AS bill
        ON ltrim(bill.number, '0') = ltrim(debit.number, '0') AND bill.date = debit.date
    LEFT JOIN license_port AS port ON port.id = bill.port_id
    LEFT JOIN ledger_billofentryline AS line
        ON line.bill_of_entry_id = bill.id
        AND line.import_item_id = debit.import_item_id
        AND line.transaction_type = 'D'
    ORDER BY debit.position, line.id IS NULL, port.code IS NOT DISTINCT FROM nullif(debit.port_code, '') DESC,
        port.code IS NULL DESC, bill.id
), taken AS MATERIALIZED (
    SELECT DISTINCT ON (bill.id) bill.id, debit.number, debit.date
    FROM incoming_debit AS debit
    JOIN ledger_billofentry AS bill ON ltrim(bill.number, '0') = ltrim(debit.number, '0') AND bill.date IS NULL
    LEFT JOIN license_port AS port ON port.id = bill.port_id
    WHERE (port.code IS NULL OR debit.port_code IN ('', port.code))
        AND NOT EXISTS (SELECT FROM dated WHERE dated.position = debit.position)
        AND NOT EXISTS (
            SELECT FROM ledger_billofentryline AS line
            JOIN license_importitem AS item ON item.id = line.import_item_id
            WHERE line.bill_of_entry_id = bill.id
            HAVING count(*) > 0 AND NOT bool_or(item.license_id = debit.license_id)
        )
    ORDER BY bill.id, debit.date, debit.position
), undated AS MATERIALIZED (
    SELECT DISTINCT ON (ltrim(number, '0'), date) id, number, date FROM taken ORDER BY ltrim(number, '0'), date, id
), found AS MATERIALIZED (
    SELECT position, id FROM dated
    UNION ALL
    SELECT debit.position, undated.id
    FROM undated
    JOIN incoming_debit AS debit ON ltrim(debit.number, '0') = ltrim(undated.number, '0') AND debit.date = undated.date
    WHERE NOT EXISTS (SELECT FROM dated WHERE dated.position = debit.position)
)
UPDATE incoming_debit AS debit
SET bill_of_entry_id = found.id
FROM found
WHERE found.position = debit.position AND debit.import_item_id IS NOT NULL
