-- Before any write to a balance table: refused unless the engine says that it is the one who writes. A rail against
-- mistakes; against intent there are the rights of the database roles.
IF current_setting('ledger.engine', true) IS DISTINCT FROM 'on' THEN
    RAISE EXCEPTION 'balances are derived: % on % is refused', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'insufficient_privilege',
        HINT = 'Change the facts and the balance follows: credits in license_exportitem, debits in '
            'ledger_billofentryline, reservations in ledger_allotmentline. To recompute one: '
            'manage.py sync_licenses --license NUMBER.';
END IF;
RETURN NULL;
