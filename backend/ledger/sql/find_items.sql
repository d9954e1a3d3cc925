-- A page of found_items.sql, whose license expires first first, with the names of what they show.
--
-- Parameters: those of found_items.sql; page_size, page_start.
SELECT
    page.*,
    hs_code.code AS hs_code,
    coalesce(nullif(exporter.name, ''), exporter.iec) AS exporter,
    ARRAY(
        SELECT name.name
        FROM license_importitem_item_names AS link
        JOIN license_itemname AS name ON name.id = link.itemname_id
        WHERE link.importitem_id = page.import_item_id
        ORDER BY name.name
    ) AS names,
    ARRAY(
        SELECT DISTINCT norm.code
        FROM license_exportitem AS export
        JOIN license_sionnorm AS norm ON norm.id = export.norm_id
        WHERE export.license_id = page.license_id
        ORDER BY norm.code
    ) AS norms
FROM (
    SELECT * FROM (
        /* include found_items.sql */
    ) AS found
    ORDER BY license_expiry_date, license_number, serial_number
    LIMIT %(page_size)s OFFSET %(page_start)s
) AS page
LEFT JOIN license_hscode AS hs_code ON hs_code.id = page.hs_code_id
LEFT JOIN license_company AS exporter ON exporter.id = page.exporter_id
ORDER BY page.license_expiry_date, page.license_number, page.serial_number
