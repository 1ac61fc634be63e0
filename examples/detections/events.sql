-- The events as the detections see them: one row each, with plain columns.
--
-- Adjust: the time zone and the working hours, here Monday to Friday, 8:00 to 17:59 in
-- Berlin; and the days at the start of the log, here 14, in which no actor is new.
CREATE OR REPLACE VIEW akuity.detection_events AS
WITH events AS (
    SELECT
        id,
        organization_id,
        timestamp,
        action,
        actor->>'type' AS actor_type,
        actor->>'id' AS actor_id,
        actor->>'ip' AS actor_ip,
        actor->>'origin' AS actor_origin,
        object->>'type' AS object_type,
        object->'id'->>'name' AS object_name,
        object->'parentId'->>'name' AS object_parent,
        details->>'message' AS message,
        details->>'patch' AS patch,
        timestamp AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Berlin' AS local
    FROM akuity.audit_logs
),
numbered AS (
    SELECT
        *,
        min(timestamp) OVER (PARTITION BY organization_id) AS log_begins,
        row_number() OVER (
            PARTITION BY organization_id, actor_type, actor_id ORDER BY timestamp, id
        ) AS number
    FROM events
)
SELECT
    id,
    organization_id,
    timestamp,
    action,
    actor_type,
    actor_id,
    actor_ip,
    actor_origin,
    object_type,
    object_name,
    object_parent,
    message,
    patch,
    NOT (
        extract(isodow FROM local) BETWEEN 1 AND 5
        AND extract(hour FROM local) BETWEEN 8 AND 17
    ) AS outside_hours,
    actor_id IS NOT NULL
    AND number = 1
    AND timestamp >= log_begins + INTERVAL '14 days' AS new_actor
FROM numbered;
