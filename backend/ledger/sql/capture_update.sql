-- After UPDATE: the same for the rows in which something changed that a balance depends on, as they were and as they
-- are. EXCEPT, not a join on id: a join's cached plan for single rows never ends on a bulk update.
INSERT INTO public.ledger_licensechange ({names}, source, operation)
SELECT DISTINCT {named_by}, TG_TABLE_NAME, TG_OP FROM (
    (SELECT {columns} FROM old_rows EXCEPT SELECT {columns} FROM new_rows)
    UNION ALL
    (SELECT {columns} FROM new_rows EXCEPT SELECT {columns} FROM old_rows)
) AS changed ORDER BY 1;
/* include wake_relay.sql */
RETURN NULL;
