-- What has been written since icegate_remember: facts that are new, or other than they were, what is new last.
WITH facts_now AS (
    /* include icegate_facts.sql */
)
SELECT facts_now.license_number, kind, facts_now.serial_number, facts_now.bill, before.facts, facts_now.facts
FROM facts_now
LEFT JOIN facts_before AS before USING (kind, id)
WHERE before.facts IS DISTINCT FROM facts_now.facts
ORDER BY
    facts_now.license_number, before.facts IS NULL, array_position('{license,export item,import item,debit}'::text[], kind),
    facts_now.serial_number, facts_now.facts ->> 'bill_date', facts_now.bill
