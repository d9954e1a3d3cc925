-- Of this database: damaged pages that were read, and how many transactions ago it was frozen.
SELECT
    coalesce(stat.checksum_failures, 0) AS checksum_failures,
    age(pg_database.datfrozenxid) AS transactions
FROM pg_database JOIN pg_stat_database AS stat ON stat.datid = pg_database.oid
WHERE pg_database.datname = current_database()
