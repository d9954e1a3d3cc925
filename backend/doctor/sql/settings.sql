-- Settings as a session of this role begins with them, not as ours has them by now. Some are of newer versions only.
SELECT name, reset_val AS value, CASE WHEN unit = 'ms' THEN ' ms' ELSE '' END AS unit
FROM pg_settings
WHERE name = ANY(%(names)s)
ORDER BY array_position(%(names)s, name)
