-- The only way in which history gets positions: whoever reads the feed may call it, and nobody but the engine may write
-- history. Migration 0015 installs this file: never edit it, write a successor.
--
-- With its owner's rights and a fixed search path, as triggers are (install_trigger.sql). What it gives is not the
-- caller's to choose: the next numbers, lowest id first. Of one license the lowest id is the oldest: engines write its
-- history one after another (lock_licenses.sql). The lock says who publishes until the transaction ends; each statement
-- of a function has a snapshot of its own, so that the second sees all that the last publisher has given. The caller has
-- said that it is the engine (begin_recompute.sql).
CREATE FUNCTION public.ledger_feed_publish(at_most bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    given bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock((x'4C63'::bigint << 48) | 3) THEN
        RETURN 0;
    END IF;
    WITH next AS MATERIALIZED (
        SELECT id, nextval('public.ledger_balancehistory_position_seq') AS position
        FROM (
            SELECT id FROM public.ledger_balancehistory WHERE position IS NULL ORDER BY id LIMIT at_most
        ) AS unpublished
    )
    UPDATE public.ledger_balancehistory AS history SET position = next.position FROM next WHERE history.id = next.id;
    GET DIAGNOSTICS given = ROW_COUNT;
    RETURN given;
END;
$$;
REVOKE ALL ON FUNCTION public.ledger_feed_publish(bigint) FROM PUBLIC;
