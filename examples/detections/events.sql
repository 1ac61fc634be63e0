-- The events as the rules see them: one row each, with plain columns.
CREATE OR REPLACE VIEW akuity.detection_events AS
SELECT
    id,
    organization_id,
    timestamp,
    action,
    actor->>'type' AS actor_type,
    actor->>'id' AS actor_id,
    actor->>'ip' AS actor_ip,
    object->>'type' AS object_type,
    object->'id'->>'name' AS object_name
FROM akuity.audit_logs;
