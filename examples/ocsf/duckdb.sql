-- Each event as an OCSF event of the class Entity Management (3004), version 1.7.0.
--
-- `event` is the JSON; `id` and `timestamp` are those of the table. What is null is left
-- out. OCSF requires an entity with a name: where Akuity names none, it is the type of the
-- object, or `unknown`.
CREATE OR REPLACE VIEW akuity.ocsf_events AS
WITH events AS (
    SELECT
        *,
        CASE
            WHEN action = 'created' THEN 1
            WHEN action = 'updated' THEN 3
            WHEN action = 'deleted' THEN 4
            WHEN coalesce(action, '') = '' THEN 0
            ELSE 99
        END AS activity_id,
        CASE
            WHEN action = 'created' THEN 'Create'
            WHEN action = 'updated' THEN 'Update'
            WHEN action = 'deleted' THEN 'Delete'
            ELSE coalesce(nullif(action, ''), 'Unknown')
        END AS activity_name,
        nullif(actor->>'id', '') AS actor_id,
        nullif(actor->>'ip', '') AS actor_ip,
        nullif(actor->>'type', '') AS actor_type,
        nullif(object->>'type', '') AS object_type,
        -- What has no other place goes to `unmapped`.
        nullif(CAST(json_merge_patch(
            coalesce(actor, '{}'),
            CASE
                WHEN coalesce(actor->>'id', '') = '' THEN '{"id": null, "ip": null}'
                ELSE '{"id": null, "ip": null, "type": null}'
            END
        ) AS VARCHAR), '{}') AS more_of_actor,
        nullif(CAST(json_merge_patch(
            coalesce(details, '{}'), '{"message": null}'
        ) AS VARCHAR), '{}') AS more_of_details
    FROM akuity.audit_logs
)
SELECT
    id,
    timestamp,
    -- A merge into nothing leaves out what is null.
    json_merge_patch('{}', json_object(
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
        'time', epoch_ms(timestamp),
        'start_time', epoch_ms(timestamp),
        'end_time', epoch_ms(lastoccurredtimestamp),
        'count', count,
        'message', nullif(details->>'message', ''),
        'metadata', json_object(
            'version', '1.7.0',
            'uid', id,
            'tenant_uid', organization_id,
            'log_name', 'audit',
            'original_time', strftime(timestamp, '%Y-%m-%dT%H:%M:%S.%fZ'),
            'product', json_object('name', 'Akuity Platform', 'vendor_name', 'Akuity')
        ),
        'actor', CASE WHEN actor_id IS NOT NULL THEN json_object(
            'user', json_object(
                'uid', actor_id,
                'name', actor_id,
                'type', CASE
                    WHEN actor_type = 'user' THEN 'User'
                    WHEN actor_type = 'system' THEN 'System'
                    WHEN actor_type = 'api_key' THEN 'Service'
                    ELSE coalesce(actor_type, 'Unknown')
                END,
                'type_id', CASE
                    WHEN actor_type = 'user' THEN 1
                    WHEN actor_type = 'system' THEN 3
                    WHEN actor_type = 'api_key' THEN 4
                    WHEN actor_type IS NULL THEN 0
                    ELSE 99
                END
            )
        ) END,
        'src_endpoint', CASE WHEN actor_ip IS NOT NULL THEN
            json_object('ip', actor_ip)
        END,
        'entity', json_object(
            'name', coalesce(nullif(object->'id'->>'name', ''), object_type, 'unknown'),
            'type', coalesce(object_type, 'Unknown'),
            'type_id', CASE WHEN object_type IS NULL THEN 0 ELSE 99 END,
            'data', object
        ),
        'unmapped', CASE WHEN coalesce(more_of_actor, more_of_details) IS NOT NULL THEN
            json_object(
                'actor', CAST(more_of_actor AS JSON),
                'details', CAST(more_of_details AS JSON)
            )
        END
    )) AS event
FROM events;
