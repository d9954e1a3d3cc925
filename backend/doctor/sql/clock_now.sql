-- PostgreSQL's clock, at this instant.
SELECT clock_timestamp()
