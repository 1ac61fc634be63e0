-- Who deleted ten things or more within ten minutes? Automation, which deletes all the
-- time, is left out; deletions without an actor are not.
SELECT * FROM (
    SELECT
        *,
        count(*) OVER (
            PARTITION BY organization_id, actor_type, actor_id
            ORDER BY timestamp
            RANGE BETWEEN INTERVAL '10 minutes' PRECEDING AND CURRENT ROW
        ) AS deletions
    FROM akuity.detection_events
    WHERE action = 'deleted' AND coalesce(actor_type, '') <> 'system'
) AS counted
WHERE deletions >= 10
ORDER BY timestamp DESC, id;
