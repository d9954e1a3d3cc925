-- Which of our bills of entry each incoming one is: number and date decide. Of several the one with the same port,
-- then one without a port, then the oldest. One of that number without a date is it too, if its port does not speak
-- against it and no other incoming bill of that number takes it.
WITH wanted AS (
    SELECT DISTINCT ON (number, date) number, date, port_code
    FROM incoming_debit
    ORDER BY number, date, port_code = '', position
), dated AS (
    SELECT DISTINCT ON (wanted.number, wanted.date) wanted.number, wanted.date, bill.id
    FROM wanted
    JOIN ledger_billofentry AS bill ON bill.number = wanted.number AND bill.date = wanted.date
    LEFT JOIN license_port AS port ON port.id = bill.port_id
    ORDER BY wanted.number, wanted.date, port.code IS NOT DISTINCT FROM nullif(wanted.port_code, '') DESC,
        port.code IS NULL DESC, bill.id
), undated AS (
    SELECT DISTINCT ON (bill.id) wanted.number, wanted.date, bill.id
    FROM wanted
    JOIN ledger_billofentry AS bill ON bill.number = wanted.number AND bill.date IS NULL
    LEFT JOIN license_port AS port ON port.id = bill.port_id
    WHERE (port.code IS NULL OR wanted.port_code IN ('', port.code))
        AND NOT EXISTS (SELECT FROM dated WHERE dated.number = wanted.number AND dated.date = wanted.date)
    ORDER BY bill.id, wanted.date
), found AS (
    SELECT * FROM dated
    UNION ALL
    SELECT * FROM (SELECT DISTINCT ON (number, date) * FROM undated ORDER BY number, date, id) AS one
)
UPDATE incoming_debit AS debit
SET bill_of_entry_id = found.id
FROM found
WHERE found.number = debit.number AND found.date = debit.date
