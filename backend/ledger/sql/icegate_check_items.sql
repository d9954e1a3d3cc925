-- Import items of ours that the ledger does not show: they stay, and somebody should know.
SELECT
    incoming.license_number,
    format(
        'not in the ledger, and kept: item %%s',
        string_agg(item.serial_number::text, ', ' ORDER BY item.serial_number)
    ) AS note
FROM incoming_license AS incoming
JOIN license_importitem AS item ON item.license_id = incoming.license_id
WHERE NOT EXISTS (
    SELECT FROM incoming_credit AS credit
    WHERE credit.license_number = incoming.license_number AND credit.serial_number = item.serial_number
)
GROUP BY incoming.license_number
