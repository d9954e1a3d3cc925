-- Today in India by PostgreSQL's clock, the one by which expiry flags turn.
SELECT (statement_timestamp() AT TIME ZONE 'Asia/Kolkata')::date
