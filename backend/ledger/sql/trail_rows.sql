-- After INSERT or DELETE, and before TRUNCATE: an entry for each row, and one row for the statement that wrote them.
DECLARE
    this bigint := nextval('public.ledger_trailstatement_id_seq');
    row_count bigint;
BEGIN
    INSERT INTO public.ledger_trailentry (statement_id, table_name, owner_id, row_id, {image})
    SELECT this, TG_TABLE_NAME, fact.{owner}, fact.{key}, to_jsonb(fact) FROM {rows} AS fact;
    GET DIAGNOSTICS row_count = ROW_COUNT;
    IF row_count = 0 THEN
        RETURN NULL;
    END IF;
    /* include trail_statement.sql */
    RETURN NULL;
END;
