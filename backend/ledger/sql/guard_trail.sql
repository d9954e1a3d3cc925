-- Before any write to the trail: refused unless a trigger of a fact writes it, or what is old is deleted by those who keep
-- it (ledger/trail.py). A rail against mistakes; against intent there are the rights of the database roles.
IF (TG_OP = 'INSERT' AND pg_trigger_depth() > 1)
    OR (TG_OP = 'DELETE' AND current_setting('ledger.trail', true) IS NOT DISTINCT FROM 'prune')
THEN
    RETURN NULL;
END IF;
RAISE EXCEPTION 'the trail is only added to, by every write of a fact: % on % is refused', TG_OP, TG_TABLE_NAME
USING ERRCODE = 'insufficient_privilege',
    HINT = 'Change the fact, and the trail tells of it. What is older than you must keep: manage.py prune_trail.';
