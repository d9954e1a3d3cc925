-- What makes PostgreSQL keep its log of writes for ever: an archive that does not take it, a replica that is gone.
SELECT
    format('The archiving of WAL has been failing since %%s: it stays, and fills the disk',
        date_trunc('second', last_failed_time)) AS what,
    'Mend archive_command; PostgreSQL''s log says why it fails' AS do
FROM pg_stat_archiver
WHERE last_failed_time > coalesce(last_archived_time, '-infinity')
    AND (SELECT setting <> 'off' FROM pg_settings WHERE name = 'archive_mode')
UNION ALL
SELECT
    format('Nobody reads replication slot %%s: WAL is kept for it, and fills the disk', slot_name),
    format('Bring its reader back, or SELECT pg_drop_replication_slot(%%L)', slot_name)
FROM pg_replication_slots
WHERE NOT active AND NOT temporary AND restart_lsn IS NOT NULL
