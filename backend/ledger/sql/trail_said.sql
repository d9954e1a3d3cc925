-- The statement, as much of it as is looked at: it may have megabytes. What ledger/acting.py puts before it is shorter
    -- than 5,000 characters.
    query text := left(current_query(), 6000);
    said jsonb := CASE
        WHEN starts_with(query, '/*by {{"user": "') THEN substr(query, 6, strpos(query, '*/') - 6)::jsonb
    END;
