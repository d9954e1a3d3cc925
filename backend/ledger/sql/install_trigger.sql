-- Installs a trigger and its function. Migrations render this file: never edit it, write a successor.
--
-- Unlike pgtrigger's own template: the function runs with its owner's rights and a fixed search path (a writer needs
-- no right on the outbox, and nobody can slip other tables under it), it does not obey `pgtrigger.ignore`, which any
-- role can set, and {enable} can have it fire for the replica role too.
CREATE OR REPLACE FUNCTION public.{pgid}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
{func}
END;
$$;
REVOKE ALL ON FUNCTION public.{pgid}() FROM PUBLIC;
DROP TRIGGER IF EXISTS {pgid} ON public.{table};
CREATE TRIGGER {pgid} {when} {operation} ON public.{table} {referencing}
FOR EACH {level} EXECUTE FUNCTION public.{pgid}();
ALTER TABLE public.{table} {enable} TRIGGER {pgid};
COMMENT ON TRIGGER {pgid} ON public.{table} IS '{hash}';
