-- The role of this session, and what it may do, its memberships included.
SELECT
    rolname AS name,
    rolsuper AS is_superuser,
    array_remove(ARRAY[
        CASE WHEN rolcreaterole THEN 'make roles' END,
        CASE WHEN rolcreatedb THEN 'make databases' END,
        CASE WHEN rolreplication THEN 'replicate everything' END,
        CASE WHEN rolbypassrls THEN 'bypass row security' END
    ], NULL) AS powers,
    (
        SELECT count(*) FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND pg_has_role(relowner, 'USAGE')
    ) AS owns,
    array_remove(ARRAY[
        CASE WHEN has_table_privilege('license_license', 'INSERT, UPDATE, DELETE') THEN 'writes facts' END,
        CASE WHEN has_table_privilege('ledger_licensebalance', 'INSERT, UPDATE, DELETE')
            OR has_table_privilege('ledger_importitembalance', 'INSERT, UPDATE, DELETE') THEN 'writes balances' END,
        CASE WHEN has_table_privilege('ledger_licensechange', 'INSERT, UPDATE, DELETE') THEN 'writes the outbox' END,
        CASE WHEN has_table_privilege('ledger_trailstatement', 'INSERT, UPDATE, DELETE')
            OR has_table_privilege('ledger_trailentry', 'INSERT, UPDATE, DELETE') THEN 'writes the trail' END,
        CASE WHEN has_column_privilege('auth_user', 'password', 'SELECT') THEN 'reads passwords' END,
        CASE WHEN has_any_column_privilege('django_session', 'SELECT') THEN 'reads sessions' END,
        CASE WHEN EXISTS (
            SELECT FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND has_table_privilege(oid, 'TRUNCATE')
        ) THEN 'empties tables' END,
        CASE WHEN has_schema_privilege('public', 'CREATE') THEN 'makes tables' END
    ], NULL) AS may
FROM pg_roles
WHERE rolname = current_user
