-- Import items that somebody may still import by: with 1 or more of their unit left, and some value, as the engine has
-- stored it.
--
-- Parameters, each NULL where it is not asked for: text_query (as of to_tsquery, over descriptions), name_patterns text[]
-- (all of which an item name is like; beside the text), hs_prefix, norm_id (of an export item of the license), unit,
-- currency, valid_on date (the license has not expired on that day; NULL: expired ones too).
SELECT
    item.id AS import_item_id,
    item.license_id,
    item.serial_number,
    item.description,
    item.hs_code_id,
    item.unit,
    balance.available_quantity,
    balance.available_value,
    license.license_number,
    license.license_expiry_date,
    license.currency,
    license.exporter_id,
    of_license.balance_cif
FROM license_importitem AS item
JOIN ledger_importitembalance AS balance
    ON balance.license_id = item.license_id AND balance.import_item_id = item.id
JOIN license_license AS license ON license.id = item.license_id
JOIN ledger_licensebalance AS of_license ON of_license.license_id = item.license_id
WHERE balance.available_quantity >= 1
    AND balance.available_value > 0
    AND (
        %(text_query)s::text IS NULL
        OR item.id IN (
            SELECT id FROM license_importitem
            WHERE to_tsvector(
                'simple'::regconfig, coalesce(regexp_replace(description, '[^[:alnum:]]+', ' ', 'g'), '')
            ) @@ to_tsquery('simple', %(text_query)s) -- by index: license_importitem_words
            UNION
            SELECT link.importitem_id
            FROM license_importitem_item_names AS link
            JOIN license_itemname AS name ON name.id = link.itemname_id
            WHERE name.name ILIKE ALL (%(name_patterns)s::text[])
        )
    )
    AND (
        %(hs_prefix)s::text IS NULL
        OR item.hs_code_id IN (
            SELECT id FROM license_hscode WHERE starts_with(regexp_replace(code, '[^0-9]', '', 'g'), %(hs_prefix)s)
        )
    )
    AND (
        %(norm_id)s::bigint IS NULL
        OR item.license_id IN (SELECT license_id FROM license_exportitem WHERE norm_id = %(norm_id)s)
    )
    AND (%(unit)s::text IS NULL OR item.unit = %(unit)s)
    AND (%(currency)s::text IS NULL OR license.currency = %(currency)s)
    AND (
        %(valid_on)s::date IS NULL
        OR license.license_expiry_date IS NULL
        OR license.license_expiry_date >= %(valid_on)s::date
    )
