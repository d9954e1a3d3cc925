-- After UPDATE: an entry for each row in which anything changed but the time of its last change. A row that is another
-- owner's afterwards has two: one owner has it no more, the other has it from now on. FULL JOIN, for a plan that was
-- cached for single rows must not become a loop over all pairs.
DECLARE
    this bigint := nextval('public.ledger_trailstatement_id_seq');
    row_count bigint;
    said jsonb := substring(current_query() FROM '^/\*by (\{{[^*]*\}})\*/')::jsonb;
BEGIN
    WITH changed AS MATERIALIZED (
        SELECT *, coalesce((old_owner, old_id) = (new_owner, new_id), false) AS stays
        FROM (
            SELECT
                was.{owner} AS old_owner, was.id AS old_id, to_jsonb(was) AS before,
                fact.{owner} AS new_owner, fact.id AS new_id, to_jsonb(fact) AS after
            FROM old_rows AS was
            FULL JOIN new_rows AS fact ON fact.id = was.id
        ) AS pair
        WHERE before - 'modified_at' IS DISTINCT FROM after - 'modified_at'
    )
    INSERT INTO public.ledger_trailentry (statement_id, table_name, owner_id, row_id, before, after)
    SELECT this, TG_TABLE_NAME, old_owner, old_id, before, CASE WHEN stays THEN after END
    FROM changed
    WHERE before IS NOT NULL
    UNION ALL
    SELECT this, TG_TABLE_NAME, new_owner, new_id, NULL, after
    FROM changed
    WHERE after IS NOT NULL AND NOT stays;
    GET DIAGNOSTICS row_count = ROW_COUNT;
    IF row_count = 0 THEN
        RETURN NULL;
    END IF;
    /* include trail_statement.sql */
    RETURN NULL;
END;
