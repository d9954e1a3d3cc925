-- Bills that stand in our books with another port than in this ledger: ours is kept.
SELECT DISTINCT
    debit.license_number,
    format(
        'bill of entry %%s of %%s is of port %%s in our books and of %%s in this ledger; ours is kept',
        debit.number, to_char(debit.date, 'DD/MM/YYYY'), port.code, debit.port_code
    ) AS note
FROM incoming_debit AS debit
JOIN ledger_billofentry AS bill ON bill.id = debit.bill_of_entry_id
JOIN license_port AS port ON port.id = bill.port_id
WHERE debit.port_code <> '' AND debit.port_code <> port.code
