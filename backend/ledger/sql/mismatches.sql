-- Where customs' newest ledgers and ours differ, and nobody has settled it: a row for each, by kind (docs/pages.md says
-- what each means). `figures` are those that a settlement is of, `amount` is in the license's currency. of_licenses and
-- kind NULL: all of them.
WITH unconfirmed AS MATERIALIZED (
    /* include unconfirmed_debits.sql */
), reserved AS (
    -- what may come by a bill of entry: AROs never do
    SELECT line.allotment_id, line.import_item_id, item.license_id, item.serial_number, item.unit, line.quantity,
        line.cif_fc, allotment.created_at, (allotment.created_at AT TIME ZONE 'Asia/Kolkata')::date AS made_on
    FROM ledger_allotment AS allotment
    JOIN ledger_allotmentline AS line ON line.allotment_id = allotment.id
    JOIN license_importitem AS item ON item.id = line.import_item_id
    WHERE allotment.type = 'AT'
        AND (line.quantity > 0 OR line.cif_fc > 0)
        AND NOT EXISTS (SELECT FROM ledger_allotment_bills_of_entry WHERE allotment_id = allotment.id)
        AND NOT EXISTS (SELECT FROM ledger_allotmentrelease WHERE allotment_id = allotment.id)
        AND (%(of_licenses)s::bigint[] IS NULL OR item.license_id = ANY (%(of_licenses)s::bigint[]))
        AND coalesce(%(kind)s, 'unconverted') = 'unconverted'
), met AS (
    -- debits of the same import item that came into our books after the allotment was made, as far as no other allotment
    -- is linked to their bill: a twentieth that is left over is none. By quantity where both have one, else by value
    SELECT reserved.*, debit.bill_of_entry_id, bill.date, rest.quantity AS rest_quantity, rest.cif_fc AS rest_cif_fc
    FROM reserved
    JOIN ledger_billofentryline AS debit
        ON debit.import_item_id = reserved.import_item_id AND debit.transaction_type = 'D'
    JOIN ledger_billofentry AS bill ON bill.id = debit.bill_of_entry_id
    CROSS JOIN LATERAL (
        SELECT
            debit.quantity - coalesce(sum(line.quantity), 0) AS quantity,
            debit.cif_fc - coalesce(sum(line.cif_fc), 0) AS cif_fc
        FROM ledger_allotment_bills_of_entry AS link
        JOIN ledger_allotmentline AS line
            ON line.allotment_id = link.allotment_id AND line.import_item_id = debit.import_item_id
        WHERE link.billofentry_id = debit.bill_of_entry_id
    ) AS rest
    WHERE coalesce(debit.entered_at > reserved.created_at, bill.date >= reserved.made_on)
        AND coalesce(bill.date >= reserved.made_on - 30, true)
        AND CASE
            WHEN debit.quantity > 0 AND reserved.quantity > 0 THEN rest.quantity > debit.quantity / 20
            ELSE reserved.cif_fc > 0 AND rest.cif_fc > debit.cif_fc / 20
        END
        AND NOT EXISTS (
            SELECT FROM ledger_settlement AS settled
            WHERE settled.kind = 'unconverted'
                AND settled.is_kept
                AND settled.subject_id = reserved.allotment_id
                AND settled.other_id = debit.bill_of_entry_id
        )
), met_by_bill AS (
    SELECT
        allotment_id,
        license_id,
        bill_of_entry_id,
        row_number() OVER (
            PARTITION BY allotment_id, license_id
            ORDER BY
                avg(abs(quantity - rest_quantity) / nullif(greatest(quantity, rest_quantity), 0)) NULLS LAST,
                avg(abs(cif_fc - greatest(rest_cif_fc, 0)) / nullif(greatest(cif_fc, rest_cif_fc), 0)) NULLS LAST,
                max(date), bill_of_entry_id
        ) AS rank,
        sum(least(cif_fc, greatest(rest_cif_fc, 0))) AS amount,
        CASE WHEN count(*) = 1 THEN min(serial_number) END AS serial_number,
        CASE WHEN count(*) = 1 THEN min(least(quantity, greatest(rest_quantity, 0))) END AS quantity,
        jsonb_agg(
            jsonb_build_object(
                'serial_number', serial_number,
                'unit', unit,
                'quantity', quantity::text,
                'cif_fc', cif_fc::text,
                'debited_quantity', rest_quantity::text,
                'debited_cif_fc', rest_cif_fc::text
            )
            ORDER BY serial_number
        ) AS lines
    FROM met
    GROUP BY allotment_id, license_id, bill_of_entry_id
), unconverted AS (
    SELECT
        'unconverted' AS kind, best.license_id, best.serial_number, best.allotment_id AS subject_id,
        best.bill_of_entry_id AS other_id, best.amount, best.quantity, '' AS figures, NULL::date AS ledger_as_of,
        jsonb_build_object(
            'allotment_id', best.allotment_id,
            'company', coalesce(nullif(company.name, ''), company.iec),
            'item_name', allotment.item_name,
            'made_at', allotment.created_at,
            'expected', allotment.estimated_arrival_date,
            'lines', best.lines,
            'bill_of_entry', bill.number,
            'date', bill.date,
            'port', port.code,
            'others', others.bills
        ) AS details
    FROM met_by_bill AS best
    JOIN ledger_allotment AS allotment ON allotment.id = best.allotment_id
    JOIN license_company AS company ON company.id = allotment.company_id
    JOIN ledger_billofentry AS bill ON bill.id = best.bill_of_entry_id
    LEFT JOIN license_port AS port ON port.id = bill.port_id
    CROSS JOIN LATERAL (
        SELECT coalesce(
            jsonb_agg(
                jsonb_build_object(
                    'bill_of_entry_id', other.bill_of_entry_id, 'bill_of_entry', bill.number, 'date', bill.date,
                    'port', port.code, 'lines', other.lines
                )
                ORDER BY other.rank
            ),
            '[]'
        ) AS bills
        FROM met_by_bill AS other
        JOIN ledger_billofentry AS bill ON bill.id = other.bill_of_entry_id
        LEFT JOIN license_port AS port ON port.id = bill.port_id
        WHERE other.allotment_id = best.allotment_id AND other.license_id = best.license_id AND other.rank > 1
    ) AS others
    WHERE best.rank = 1
), twin_bills AS MATERIALIZED (
    -- of one number, and of one day or one port: our bill, and the one that customs shows on the same license
    SELECT DISTINCT ON (ours.bill_of_entry_id, ours.license_id)
        ours.bill_of_entry_id, ours.license_id, ours.number, ours.date, ours.port_id, theirs.id AS their_id,
        theirs.number AS their_number, theirs.date AS their_date, theirs.port_id AS their_port_id
    FROM (
        SELECT DISTINCT bill_of_entry_id, license_id, number, date, port_id
        FROM unconfirmed
        WHERE coalesce(%(kind)s, 'twin') IN ('twin', 'disputed')
    ) AS ours
    JOIN ledger_billofentry AS theirs
        ON ltrim(theirs.number, '0') = ltrim(ours.number, '0')
        AND theirs.id <> ours.bill_of_entry_id
        AND (theirs.date = ours.date OR coalesce(theirs.port_id = ours.port_id, true))
    CROSS JOIN LATERAL (
        -- which of the two the ledger shows: if both, they are two
        SELECT bool_or(line.bill_of_entry_id = theirs.id) AS theirs, bool_or(line.bill_of_entry_id <> theirs.id) AS ours
        FROM ledger_billofentryline AS line
        JOIN license_importitem AS item ON item.id = line.import_item_id
        WHERE line.bill_of_entry_id IN (theirs.id, ours.bill_of_entry_id)
            AND line.transaction_type = 'D'
            AND line.source = 'icegate'
            AND line.disputed_since IS NULL
            AND item.license_id = ours.license_id
    ) AS confirmed
    WHERE confirmed.theirs
        AND NOT confirmed.ours
        AND NOT EXISTS (
            SELECT FROM ledger_settlement AS settled
            WHERE settled.kind = 'twin'
                AND settled.is_kept
                AND settled.subject_id = ours.bill_of_entry_id
                AND settled.other_id = theirs.id
        )
    ORDER BY ours.bill_of_entry_id, ours.license_id, theirs.date = ours.date DESC NULLS LAST, theirs.id
), twin AS (
    SELECT
        'twin', twin.license_id, NULL::integer, twin.bill_of_entry_id, twin.their_id, lines.cif_fc, NULL::numeric, '',
        NULL::date,
        jsonb_build_object(
            'bill_of_entry', twin.number,
            'date', twin.date,
            'port', port.code,
            'their_bill_of_entry', twin.their_number,
            'their_date', twin.their_date,
            'their_port', their_port.code,
            'lines', lines.lines
        )
    FROM twin_bills AS twin
    LEFT JOIN license_port AS port ON port.id = twin.port_id
    LEFT JOIN license_port AS their_port ON their_port.id = twin.their_port_id
    CROSS JOIN LATERAL (
        SELECT
            sum(ours.cif_fc) AS cif_fc,
            jsonb_agg(
                jsonb_build_object(
                    'serial_number', ours.serial_number,
                    'unit', ours.unit,
                    'quantity', ours.quantity::text,
                    'cif_fc', ours.cif_fc::text,
                    'their_quantity', theirs.quantity::text,
                    'their_cif_fc', theirs.cif_fc::text
                )
                ORDER BY ours.serial_number
            ) AS lines
        FROM unconfirmed AS ours
        LEFT JOIN ledger_billofentryline AS theirs
            ON theirs.bill_of_entry_id = twin.their_id
            AND theirs.import_item_id = ours.import_item_id
            AND theirs.transaction_type = 'D'
        WHERE ours.bill_of_entry_id = twin.bill_of_entry_id AND ours.license_id = twin.license_id
    ) AS lines
    WHERE coalesce(%(kind)s, 'twin') = 'twin'
), disputed AS (
    SELECT
        'disputed', debit.license_id, debit.serial_number, debit.id, NULL::bigint, debit.cif_fc, debit.quantity,
        figures, debit.ledger_as_of,
        jsonb_build_object(
            'bill_of_entry_id', debit.bill_of_entry_id,
            'bill_of_entry', debit.number,
            'date', debit.date,
            'port', port.code,
            'disputed_since', debit.disputed_since,
            'ledger_as_of', debit.ledger_as_of,
            'unit', debit.unit
        )
    FROM unconfirmed AS debit
    LEFT JOIN license_port AS port ON port.id = debit.port_id
    CROSS JOIN LATERAL (SELECT concat(debit.quantity, ' for ', debit.cif_fc) AS figures) AS seen
    WHERE NOT debit.is_later
        AND coalesce(%(kind)s, 'disputed') = 'disputed'
        AND (debit.bill_of_entry_id, debit.license_id) NOT IN (SELECT bill_of_entry_id, license_id FROM twin_bills)
        AND NOT EXISTS (
            SELECT FROM ledger_settlement AS settled
            WHERE settled.kind = 'disputed'
                AND settled.is_kept
                AND settled.subject_id = debit.id
                AND settled.figures = seen.figures
                AND coalesce(settled.ledger_as_of >= debit.ledger_as_of, true)
        )
), imbalance AS (
    SELECT
        'imbalance', bridge.license_id, NULL::integer, bridge.license_id, NULL::bigint, difference, NULL::numeric,
        difference::text, bridge.as_of,
        jsonb_build_object(
            'customs_balance_cif', bridge.customs_balance_cif::text,
            'entitlement', bridge.entitlement::text,
            'totals', bridge.totals::text,
            'edited', bridge.edited::text
        )
    FROM (
        /* include customs_bridge.sql */
    ) AS bridge
    CROSS JOIN LATERAL (SELECT totals + entitlement + edited AS difference) AS unexplained
    -- customs prints its balances in whole numbers
    WHERE abs(difference) > 1
        AND coalesce(%(kind)s, 'imbalance') = 'imbalance'
        AND NOT EXISTS (
            SELECT FROM ledger_settlement AS settled
            WHERE settled.kind = 'imbalance'
                AND settled.is_kept
                AND settled.subject_id = bridge.license_id
                AND settled.figures = difference::text
                AND coalesce(settled.ledger_as_of >= bridge.as_of, true)
        )
)
SELECT * FROM unconverted
UNION ALL
SELECT * FROM disputed
UNION ALL
SELECT * FROM twin
UNION ALL
SELECT * FROM imbalance
