-- How many changes are pending, and the Indian date.
SELECT count(*) AS pending, (statement_timestamp() AT TIME ZONE 'Asia/Kolkata')::date AS business_date
FROM ledger_licensechange
