-- After INSERT or DELETE: one change for each distinct id that the rows name, in order, so that the changes of one
-- license stand together in the outbox.
INSERT INTO public.ledger_licensechange ({names}, source, operation)
SELECT DISTINCT {named_by}, TG_TABLE_NAME, TG_OP FROM {rows} ORDER BY 1;
/* include wake_relay.sql */
RETURN NULL;
