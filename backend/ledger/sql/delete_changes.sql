-- Deletes worked-off changes by their ids, never by license: what was written meanwhile stays.
DELETE FROM ledger_licensechange WHERE id = ANY(%(change_ids)s::bigint[])
