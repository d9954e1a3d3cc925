-- Before any write to the trail that is not a trigger's: refused. A rail against mistakes; against intent there are the
-- rights of the database roles.
RAISE EXCEPTION 'the trail is only added to, by every write of a fact: % on % is refused', TG_OP, TG_TABLE_NAME
USING ERRCODE = 'insufficient_privilege', HINT = 'Change the fact, and the trail tells of it.';
