-- A transaction of the doctor writes nothing, waits for no lock, and takes no time.
SELECT
    set_config('transaction_read_only', 'on', true),
    set_config('lock_timeout', '1s', true),
    set_config('statement_timeout', '4s', true),
    set_config('jit', 'off', true)
