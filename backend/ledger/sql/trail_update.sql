-- After UPDATE: an entry for each row in which anything changed but the time of its last change. A row that is another
-- owner's afterwards has two: first, one owner has it no more, then the other has it from now on. FULL JOIN, for a plan
-- that was cached for single rows must not become a loop over all pairs.
DECLARE
    this bigint := nextval('public.ledger_trailstatement_id_seq');
    row_count bigint;
BEGIN
    INSERT INTO public.ledger_trailentry (statement_id, table_name, owner_id, row_id, before, after)
    SELECT this, TG_TABLE_NAME, entry.*
    FROM old_rows AS was
    FULL JOIN new_rows AS fact ON {same}
    CROSS JOIN LATERAL (
        SELECT was.{owner}, was.{key}, to_jsonb(was), CASE WHEN fact.{owner} = was.{owner} THEN to_jsonb(fact) END
        WHERE was.{key} IS NOT NULL
        UNION ALL
        SELECT fact.{owner}, fact.{key}, NULL, to_jsonb(fact)
        WHERE fact.{key} IS NOT NULL AND fact.{owner} IS DISTINCT FROM was.{owner}
    ) AS entry
    WHERE {is_changed};
    GET DIAGNOSTICS row_count = ROW_COUNT;
    IF row_count = 0 THEN
        RETURN NULL;
    END IF;
    /* include trail_statement.sql */
    RETURN NULL;
END;
