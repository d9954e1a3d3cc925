-- How far a worker is with an upload, which renews its lease.
UPDATE ledger_upload
SET percent_done = %(percent)s, leased_until = statement_timestamp() + make_interval(secs => %(lease_seconds)s)
WHERE id = %(upload_id)s AND lease = %(lease)s
