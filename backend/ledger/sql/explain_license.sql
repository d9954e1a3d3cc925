-- What the rules make of one license, row by row as in expected.sql, with what an import item says of itself.
SELECT
    coalesce(%(today)s::date, (statement_timestamp() AT TIME ZONE 'Asia/Kolkata')::date) AS today,
    ruled.*,
    item.serial_number,
    item.description,
    hs_code.code AS hs_code,
    item.unit,
    item.quantity
FROM (
    /* include expected.sql */
) AS ruled
LEFT JOIN license_importitem AS item ON item.id = ruled.import_item_id
LEFT JOIN license_hscode AS hs_code ON hs_code.id = item.hs_code_id
ORDER BY item.serial_number
