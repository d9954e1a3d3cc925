-- The transactions whose pending changes name one of the ids of a hint. A hint knows what its writer held in hand, such
-- as the new parent of a moved row; the change of the old one was written by the same transaction.
SELECT DISTINCT transaction_id::text
FROM ledger_licensechange
WHERE license_id = ANY(%(license_ids)s::bigint[])
    OR import_item_id = ANY(%(import_item_ids)s::bigint[])
    OR allotment_id = ANY(%(allotment_ids)s::bigint[])
    OR item_name_id = ANY(%(item_name_ids)s::bigint[])
