-- Before TRUNCATE, also by CASCADE: a change without ids, which means every license.
INSERT INTO public.ledger_licensechange (source, operation) VALUES (TG_TABLE_NAME, TG_OP);
/* include wake_relay.sql */
RETURN NULL;
