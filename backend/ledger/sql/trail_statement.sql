-- Part of a trail trigger: the statement that wrote its entries.
    DECLARE
        -- As much of it as is looked at: it may have megabytes. What ledger/acting.py puts before it is shorter than 5,000
        -- characters.
        query text := left(current_query(), 6000);
        said jsonb;
    BEGIN
        IF starts_with(query, '/*by {{"user": "') THEN
            BEGIN
                said := substr(query, 6, strpos(query, '*/') - 6)::jsonb;
            EXCEPTION
                WHEN data_exception THEN NULL; -- a remark of somebody else's, who is to be able to write
            END;
        END IF;
        INSERT INTO public.ledger_trailstatement (
            id, table_name, operation, row_count, user_name, via, role, application, address, statement
        ) VALUES (
            this, TG_TABLE_NAME, TG_OP, row_count, coalesce(said ->> 'user', ''), coalesce(said ->> 'via', ''),
            session_user, current_setting('application_name'), host(inet_client_addr()),
            substr(query, CASE WHEN said IS NULL THEN 1 ELSE strpos(query, '*/') + 3 END, 1000)
        );
    END;
