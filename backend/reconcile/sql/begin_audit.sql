-- Opens the transaction of an audit: no time goes into compiling its plan, or into starting helpers for it. The statement
-- has hundreds of expressions: to compile them takes seconds, for a single license too (where PostgreSQL comes with JIT).
SELECT set_config('jit', 'off', true), set_config('max_parallel_workers_per_gather', '0', true)
