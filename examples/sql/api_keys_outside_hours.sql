-- What did API keys do outside working hours? One row for each day and key.
--
-- Adjust: the time zone, the days (1 is Monday) and the hours, here those that begin
-- from 8:00 to 17:00. `day`, `first` and `last` are in that time zone.
WITH events AS (
    SELECT
        timestamp AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Berlin' AS local,
        actor->>'type' AS type,
        actor->>'id' AS who,
        action
    FROM akuity.audit_logs
)
SELECT
    CAST(local AS date) AS day,
    who,
    count(*) AS events,
    CAST(date_trunc('second', min(local)) AS time) AS first,
    CAST(date_trunc('second', max(local)) AS time) AS last,
    string_agg(DISTINCT action, ', ' ORDER BY action) AS actions
FROM events
WHERE type = 'api_key'
    AND NOT (
        extract(isodow FROM local) BETWEEN 1 AND 5
        AND extract(hour FROM local) BETWEEN 8 AND 17
    )
GROUP BY day, who
ORDER BY day DESC, events DESC, max(local) DESC;
