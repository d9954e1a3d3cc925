-- Whether this server and sessions of this role write at all.
SELECT
    pg_is_in_recovery() AS is_standby,
    (SELECT reset_val = 'on' FROM pg_settings WHERE name = 'default_transaction_read_only') AS is_read_only,
    has_table_privilege('license_license', 'UPDATE') AS may_write
