-- Bills of entry that we do not have. Number and date make a bill: of several ports the first stands.
INSERT INTO ledger_billofentry (number, date, port_id)
SELECT wanted.number, wanted.date, port.id
FROM (
    SELECT DISTINCT ON (ltrim(number, '0'), date) number, date, port_code
    FROM incoming_debit
    WHERE bill_of_entry_id IS NULL
    ORDER BY ltrim(number, '0'), date, length(number) DESC, port_code = '', position
) AS wanted
LEFT JOIN license_port AS port ON port.code = wanted.port_code
ORDER BY wanted.number, wanted.date
