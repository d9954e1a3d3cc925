-- The time by the clock of the server, by which the trail is written.
SELECT clock_timestamp()
