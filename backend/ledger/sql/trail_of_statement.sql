-- What one statement has written, in its order. after: the id of the entry before, or 0.
SELECT id, table_name, row_id, before::text, after::text, statement_id
FROM (
    SELECT * FROM ledger_trailentry
    WHERE statement_id = %(statement_id)s AND id > %(after)s
    ORDER BY id
    LIMIT %(at_most)s
) AS entry -- of which alone the text is made
ORDER BY id
