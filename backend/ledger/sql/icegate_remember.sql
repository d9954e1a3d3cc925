-- The facts of the incoming licenses as they are before anything is written.
CREATE TEMPORARY TABLE facts_before ON COMMIT DROP AS
/* include icegate_facts.sql */
