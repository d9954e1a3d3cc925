-- What this role may not do with these tables and routines: read anything, write anything, call. What is not there yet is
-- for migrate.
SELECT may_not, array_agg(name ORDER BY name) AS names
FROM (
    SELECT 'read', name FROM unnest(%(read)s::text[]) AS name
    WHERE to_regclass(quote_ident(name)) IS NOT NULL
        AND NOT has_any_column_privilege(to_regclass(quote_ident(name)), 'SELECT')
    UNION ALL
    SELECT 'write', name FROM unnest(%(written)s::text[]) AS name
    WHERE to_regclass(quote_ident(name)) IS NOT NULL
        AND NOT has_table_privilege(to_regclass(quote_ident(name)), 'INSERT, UPDATE, DELETE')
    UNION ALL
    SELECT 'call', name FROM unnest(%(called)s::text[]) AS name
    WHERE to_regprocedure(name) IS NOT NULL AND NOT has_function_privilege(to_regprocedure(name), 'EXECUTE')
) AS missing (may_not, name)
GROUP BY may_not
ORDER BY may_not
