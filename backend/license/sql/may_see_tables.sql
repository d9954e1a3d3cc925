-- Whether this role sees our tables at all: to one that does not, it looks as if there were none.
SELECT has_schema_privilege('public', 'USAGE')
