-- Opens a transaction of the engine: balances may be written, someone's forgotten row lock is not waited for long, a
-- limit that the role has on statements, as hosted databases set one, ends none of ours (the same batch would meet it
-- again and again, and all behind it would wait), an engine that is heard of no more (its machine is gone, or stands
-- still) loses what it holds, no time goes into compiling small plans or into starting helpers for them, and what an
-- index finds is not looked for in a whole table, small as it may be: it is looked for again and again. READ COMMITTED,
-- whatever the default is: under a stricter level the snapshot is older than the lock, and an older truth would win.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SELECT
    set_config('ledger.engine', 'on', true),
    set_config('lock_timeout', '1s', true),
    set_config('statement_timeout', '0', true),
    set_config('idle_in_transaction_session_timeout', '60s', true),
    set_config('jit', 'off', true),
    set_config('max_parallel_workers_per_gather', '0', true),
    set_config('enable_seqscan', 'off', true)
