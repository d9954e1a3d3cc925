-- Of these tables those of which this role may read nothing. One that is not there yet is for migrate.
SELECT name
FROM unnest(%(tables)s::text[]) AS name
WHERE to_regclass(quote_ident(name)) IS NOT NULL
    AND NOT has_any_column_privilege(to_regclass(quote_ident(name)), 'SELECT')
ORDER BY name
