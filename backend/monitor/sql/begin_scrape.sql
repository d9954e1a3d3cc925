-- All of a scrape is of one snapshot, writes nothing, and is given up before Prometheus gives it up, which it does after
-- ten seconds.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SET LOCAL statement_timeout = '5s';
SET LOCAL jit = off
