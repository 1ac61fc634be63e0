-- Each event as an OCSF event of the class Entity Management (3004), version 1.7.0.
--
-- OCSF requires an entity with a name: where Akuity names none, it is the type of the
-- object, or `unknown`.
CREATE OR REPLACE VIEW akuity.ocsf_events AS
WITH activities (action, activity_id, activity_name) AS (
    VALUES
        ('created', 1, 'Create'), ('updated', 3, 'Update'), ('deleted', 4, 'Delete'),
        ('', 0, 'Unknown')
),
actor_types (type, type_id, caption) AS (
    VALUES ('user', 1, 'User'), ('system', 3, 'System'), ('api_key', 4, 'Service'),
        ('', 0, 'Unknown')
),
events AS (
    SELECT
        log.*,
        coalesce(activity_id, 99) AS activity_id,
        coalesce(activity_name, log.action) AS activity_name,
        nullif(log.actor->>'id', '') AS actor_id,
        coalesce(type_id, 99) AS actor_type_id,
        coalesce(caption, log.actor->>'type') AS actor_type,
        nullif(log.actor->>'ip', '') AS actor_ip,
        nullif(log.object->>'type', '') AS object_type,
        -- Milliseconds.
        round(extract(epoch FROM date_trunc('milliseconds', log.timestamp)) * 1000) AS first,
        round(
            extract(epoch FROM date_trunc('milliseconds', log."lastOccurredTimestamp")) * 1000
        ) AS last
    FROM akuity.audit_logs AS log
    LEFT JOIN activities ON activities.action = coalesce(log.action, '')
    LEFT JOIN actor_types ON actor_types.type = coalesce(log.actor->>'type', '')
)
SELECT
    id,
    timestamp,
    jsonb_strip_nulls(jsonb_build_object(
        'activity_id', activity_id,
        'activity_name', activity_name,
        'category_uid', 3,
        'category_name', 'Identity & Access Management',
        'class_uid', 3004,
        'class_name', 'Entity Management',
        'type_uid', 300400 + activity_id,
        'type_name', 'Entity Management: '
            || CASE WHEN activity_id = 99 THEN 'Other' ELSE activity_name END,
        'severity_id', 1,
        'severity', 'Informational',
        'time', CAST(first AS bigint),
        'start_time', CAST(first AS bigint),
        'end_time', CAST(last AS bigint),
        'count', count,
        'message', nullif(details->>'message', ''),
        'metadata', jsonb_build_object(
            'version', '1.7.0',
            'uid', id,
            'tenant_uid', organization_id,
            'log_name', 'audit',
            'original_time', to_char(timestamp, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'product', jsonb_build_object('name', 'Akuity Platform', 'vendor_name', 'Akuity')
        ),
        'actor', CASE WHEN actor_id IS NOT NULL THEN jsonb_build_object(
            'user', jsonb_build_object(
                'uid', actor_id, 'name', actor_id,
                'type_id', actor_type_id, 'type', actor_type
            )
        ) END,
        'src_endpoint', CASE WHEN actor_ip IS NOT NULL THEN
            jsonb_build_object('ip', actor_ip)
        END,
        'entity', jsonb_build_object(
            'name', coalesce(nullif(object->'id'->>'name', ''), object_type, 'unknown'),
            'type', coalesce(object_type, 'Unknown'),
            'type_id', CASE WHEN object_type IS NULL THEN 0 ELSE 99 END,
            'data', object
        ),
        'unmapped', jsonb_build_object('actor', actor, 'details', details)
    )) AS event
FROM events;
