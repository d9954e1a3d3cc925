-- Of the licenses that were known, those that had been issued by the end of a day.
license_license AS MATERIALIZED (
    SELECT * FROM known_license WHERE license_date <= %(until)s::date
)
