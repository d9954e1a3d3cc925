-- Opens the transaction of an audit: no time goes into compiling its plan, or into starting helpers for it. The statement
-- has hundreds of expressions: to compile them takes seconds, for a single license too (where PostgreSQL comes with JIT).
-- And what an index finds is not looked for in a whole table, small as it may be: it is looked for again and again.
SELECT
    set_config('jit', 'off', true),
    set_config('max_parallel_workers_per_gather', '0', true),
    set_config('enable_seqscan', 'off', true)
