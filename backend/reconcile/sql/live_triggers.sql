-- The triggers of a table list as they are in the database now, with the live text of their functions.
SELECT
    trigger.tgname AS name,
    class.relname AS table,
    trigger.tgenabled::text AS enabled,
    pg_get_triggerdef(trigger.oid) AS definition,
    pg_get_functiondef(trigger.tgfoid) AS function
FROM pg_trigger AS trigger
JOIN pg_class AS class ON class.oid = trigger.tgrelid
WHERE NOT trigger.tgisinternal
    AND class.relnamespace = 'public'::regnamespace
    AND class.relname = ANY(%(tables)s)
