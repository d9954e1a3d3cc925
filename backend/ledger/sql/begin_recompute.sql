-- Opens a transaction of the engine: balances may be written, someone's forgotten row lock is not waited for long, no
-- time goes into compiling small plans or into starting helpers for them. Setting READ COMMITTED where another level has
-- begun is an error, and must be: under a stricter one the snapshot is older than the lock, and an older truth would win.
SELECT
    set_config('transaction_isolation', 'read committed', true),
    set_config('ledger.engine', 'on', true),
    set_config('lock_timeout', '1s', true),
    set_config('jit', 'off', true),
    set_config('max_parallel_workers_per_gather', '0', true)
