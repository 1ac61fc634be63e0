-- Which actors are new, and which actors came from a new IP address? The newest come
-- first; times are UTC.
--
-- Adjust: everything is new at the start of the log, so what its first 14 days have is
-- taken as known.
WITH addresses AS (
    SELECT
        actor->>'type' AS type,
        actor->>'id' AS who,
        actor->>'ip' AS ip,
        min(timestamp) AS first_seen,
        count(*) AS events
    FROM akuity.audit_logs
    WHERE (actor->>'id') IS NOT NULL
    GROUP BY 1, 2, 3
),
known AS (
    SELECT
        *,
        min(first_seen) OVER () AS log_begins,
        min(first_seen) OVER (PARTITION BY type, who) AS actor_first_seen
    FROM addresses
)
SELECT
    date_trunc('second', first_seen) AS first_seen,
    CASE WHEN first_seen = actor_first_seen THEN 'actor' ELSE 'address' END AS new,
    type,
    who,
    ip,
    events
FROM known
WHERE first_seen >= log_begins + INTERVAL '14 days'
    -- A missing address is not a new one.
    AND (ip IS NOT NULL OR first_seen = actor_first_seen)
ORDER BY known.first_seen DESC, who, ip;
