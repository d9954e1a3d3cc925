-- On a table of balances, before the rest: what the engine writes follows from facts, and needs no trail. It is told by a
-- comment in its statement (write_balances.sql), not by the setting that the guard goes by: somebody who turns that on
-- is told of. A rail for honest hands; who means to hide can write the comment, too.
IF strpos(current_query(), '/* the engine writes balances */') > 0 THEN
    RETURN NULL;
END IF;
