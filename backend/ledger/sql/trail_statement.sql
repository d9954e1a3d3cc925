-- Part of a trail trigger: the statement that wrote its entries.
    INSERT INTO public.ledger_trailstatement (
        id, table_name, operation, row_count, user_name, via, role, application, address, statement
    ) VALUES (
        this, TG_TABLE_NAME, TG_OP, row_count, coalesce(said ->> 'user', ''), coalesce(said ->> 'via', ''),
        session_user, current_setting('application_name'), host(inet_client_addr()),
        substr(query, CASE WHEN said IS NULL THEN 1 ELSE strpos(query, '*/') + 3 END, 1000)
    );
