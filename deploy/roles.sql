-- The database roles of an installation, and what each may do. By a superuser, in the database of the installation, after
-- each migrate; again at any time, it changes nothing that is so already:
--     psql --set=ON_ERROR_STOP=1 --dbname=license_manager --file=deploy/roles.sql
--
--   license_owner    owns all of it; migrates. Nothing that runs for long logs in as the owner.
--   license_web      the pages and the API: facts, never balances. It has no right on the outbox and on the trail either:
--                    triggers write there, with the rights of the owner.
--   license_worker   worker, beat and relay, and the commands that load, recompute and reconcile.
--   license_auditor  reads, and can do nothing else: for people with psql, `audit_drift`, reports of other tools. What
--                    lets somebody in (passwords, tokens, sessions) it does not see.
--
-- None has a password, and so none can log in over the network before it is given one: \password license_web
BEGIN;
SET LOCAL lock_timeout = '5s'; -- rather than have everybody wait behind us

DO $$
DECLARE
    role text;
    given record;
BEGIN
    FOREACH role IN ARRAY ARRAY['license_owner', 'license_web', 'license_worker', 'license_auditor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', role);
        END IF;
        EXECUTE format('ALTER ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', role);
        -- what a role has set for itself, as every role may: a search_path would have it miss its tables
        EXECUTE format('ALTER ROLE %I RESET ALL', role);
        EXECUTE format('ALTER ROLE %I IN DATABASE %I RESET ALL', role, current_database());
    END LOOP;
    -- what somebody has given by hand: the rights of another role would be theirs too
    FOR given IN
        SELECT roleid::regrole AS role, member::regrole AS member, grantor::regrole AS grantor
        FROM pg_auth_members
        WHERE member IN ('license_web'::regrole, 'license_worker'::regrole, 'license_auditor'::regrole)
    LOOP
        EXECUTE format('REVOKE %s FROM %s GRANTED BY %s CASCADE', given.role, given.member, given.grantor);
    END LOOP;
END $$;

-- A migration that has to wait for a lock has every writer wait behind it: it gives up instead, and is tried again.
ALTER ROLE license_owner SET lock_timeout = '5s';
ALTER ROLE license_web SET statement_timeout = '60s';
ALTER ROLE license_web SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE license_worker SET statement_timeout = '1h'; -- the engine sets its own
ALTER ROLE license_worker SET idle_in_transaction_session_timeout = '10min';
ALTER ROLE license_auditor SET statement_timeout = '10min';
ALTER ROLE license_auditor SET idle_in_transaction_session_timeout = '10min';
ALTER ROLE license_auditor SET default_transaction_read_only = on;

DO $$
DECLARE
    of_nobody record;
BEGIN
    EXECUTE format('ALTER DATABASE %I OWNER TO license_owner', current_database());
    ALTER SCHEMA public OWNER TO license_owner;
    FOR of_nobody IN
        SELECT format('%s %s', CASE relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, oid::regclass)
            AS name
        FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')
            AND relowner <> 'license_owner'::regrole
            -- a sequence that belongs to a column goes with its table
            AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype IN ('a', 'i') AND relkind = 'S')
        UNION ALL
        SELECT format('ROUTINE %s', oid::regprocedure)
        FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND proowner <> 'license_owner'::regrole
            AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
    LOOP
        EXECUTE format('ALTER %s OWNER TO license_owner', of_nobody.name);
    END LOOP;
    -- who could hang a trigger's function on a table of his own would write the trail with it, as the owner
    FOR of_nobody IN
        SELECT oid::regprocedure AS name
        FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND prosecdef AND proowner = 'license_owner'::regrole
    LOOP
        EXECUTE format(
            'REVOKE ALL ON ROUTINE %s FROM PUBLIC, license_web, license_worker, license_auditor', of_nobody.name
        );
    END LOOP;

    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC, license_web, license_worker, license_auditor', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO license_web, license_worker, license_auditor', current_database());
    -- of a ledger that is loaded
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO license_worker', current_database());
END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC, license_web, license_worker, license_auditor;
GRANT USAGE ON SCHEMA public TO license_web, license_worker, license_auditor;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, license_web, license_worker, license_auditor;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, license_web, license_worker, license_auditor;

DO $$
DECLARE
    may record;
    nobodys text;
BEGIN
    FOR may IN
        -- r: SELECT, a: INSERT, w: UPDATE, d: DELETE; s: SELECT of all but the secret column. TRUNCATE is the owner's.
        WITH may (tables, secret, web, worker, auditor) AS (VALUES
            -- facts: of people and their documents
            ('license_company license_port license_hscode license_sionnorm license_itemname license_matchrule
              license_license license_exportitem license_importitem license_importitem_item_names
              ledger_billofentry ledger_billofentryline ledger_allotment ledger_allotmentline
              ledger_allotment_bills_of_entry ledger_allotmentrelease ledger_allotting ledger_overdraw ledger_settlement
              ledger_customsbalance ledger_upload ledger_uploadfile ledger_uploadedlicense',
             '', 'rawd', 'rawd', 'r'),
            -- what follows from facts: the engine's, and the night's
            ('ledger_licensebalance ledger_importitembalance ledger_balancehistory ledger_quarantine
              reconcile_reconciliationrun reconcile_reconciliationchunk reconcile_drift reconcile_finding',
             '', 'r', 'rawd', 'r'),
            -- triggers write, as the owner: the outbox is worked off, the trail is kept
            ('ledger_licensechange', '', 'r', 'rawd', 'r'),
            ('ledger_tally ledger_failure', '', 'r', 'rawd', 'r'),
            -- who takes a backup must read everything: the owner
            ('reconcile_backup', '', 'r', 'r', 'r'),
            ('ledger_trailstatement ledger_trailentry', '', 'r', 'r', 'r'),
            -- who follows, and what was asked for by a page
            ('api_webhook', 'secret', 'rawd', 'rw', 's'),
            ('desk_runrequest', '', 'raw', 'rawd', 'r'),
            ('django_celery_results_taskresult django_celery_results_chordcounter django_celery_results_groupresult',
             '', 'r', 'rawd', 'r'),
            -- people, and what lets them in
            ('auth_user', 'password', 'rawd', 's', 's'),
            ('api_token', 'digest', 'rawd', 's', 's'),
            ('auth_group auth_permission auth_group_permissions auth_user_groups auth_user_user_permissions',
             '', 'rawd', 'r', 'r'),
            ('django_admin_log', '', 'ra', '', 'r'),
            ('django_session axes_accessattempt axes_accessattemptexpiration axes_accessfailurelog axes_accesslog',
             '', 'rawd', '', ''),
            ('django_content_type django_migrations', '', 'r', 'r', 'r')
        )
        SELECT table_name, secret, role.name AS role, letter
        FROM may
        CROSS JOIN LATERAL regexp_split_to_table(tables, '\s+') AS table_name
        CROSS JOIN LATERAL (VALUES ('license_web', web), ('license_worker', worker), ('license_auditor', auditor))
            AS role (name, letters)
        CROSS JOIN LATERAL regexp_split_to_table(letters, '') AS letter
        WHERE letter <> '' AND to_regclass('public.' || table_name) IS NOT NULL
    LOOP
        EXECUTE format(
            'GRANT %s ON public.%I TO %I',
            CASE may.letter
                WHEN 'r' THEN 'SELECT'
                WHEN 'a' THEN 'INSERT'
                WHEN 'w' THEN 'UPDATE'
                WHEN 'd' THEN 'DELETE'
                ELSE (
                    SELECT format('SELECT (%s)', string_agg(quote_ident(attname), ', '))
                    FROM pg_attribute
                    WHERE attrelid = ('public.' || may.table_name)::regclass
                        AND attnum > 0 AND NOT attisdropped AND attname <> may.secret
                )
            END,
            may.table_name, may.role
        );
    END LOOP;
    IF to_regprocedure('public.ledger_feed_publish(bigint)') IS NOT NULL THEN
        -- whoever reads the feed has positions given to what has none, and chooses none
        GRANT EXECUTE ON FUNCTION public.ledger_feed_publish(bigint) TO license_web, license_worker;
    END IF;

    SELECT string_agg(relname, ', ' ORDER BY relname) INTO nobodys
    FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')
        AND NOT has_any_column_privilege('license_web', oid, 'SELECT')
        AND NOT has_any_column_privilege('license_worker', oid, 'SELECT');
    IF nobodys IS NOT NULL THEN
        RAISE WARNING 'deploy/roles.sql says of these tables nothing, and so nobody but the owner can use them: %', nobodys;
    END IF;
END $$;
COMMIT;
