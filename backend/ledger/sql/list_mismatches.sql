-- What is open of one kind, the worst amount first, and in the order of licenses where that is equal.
SELECT mismatch.*, license.license_number, license.currency
FROM (
    /* include mismatches.sql */
) AS mismatch
JOIN license_license AS license ON license.id = mismatch.license_id
WHERE %(subject_id)s::numeric IS NULL OR mismatch.subject_id = %(subject_id)s
ORDER BY
    license.currency, abs(mismatch.amount) DESC, license.license_number, mismatch.serial_number, mismatch.subject_id
