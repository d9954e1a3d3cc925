-- A fact table as it was at a moment, for the owners of an array: each row as it was before the first write after that
-- moment that the trail has of it, and the others as they are.
{name} AS MATERIALIZED (
    WITH undone AS MATERIALIZED (
        SELECT DISTINCT ON (entry.row_id) entry.row_id, entry.before
        FROM public.ledger_trailentry AS entry
        JOIN public.ledger_trailstatement AS statement ON statement.id = entry.statement_id
        WHERE entry.table_name = '{table}' AND entry.owner_id = ANY({owners})
            AND statement.written_at > %(known)s::timestamptz
        ORDER BY entry.row_id, entry.id
    )
    SELECT fact.*
    FROM undone
    CROSS JOIN LATERAL jsonb_populate_record(NULL::public.{table}, undone.before) AS fact
    WHERE undone.before IS NOT NULL
    UNION ALL
    SELECT fact.*
    FROM public.{table} AS fact
    WHERE fact.{owner} = ANY({owners}) AND NOT EXISTS (SELECT FROM undone WHERE undone.row_id = fact.id)
)
