-- Each event as a document of the Elastic Common Schema, version 8.11.0. What the schema
-- has no field for is below `akuity`, with Akuity's own names.
--
-- Adjust: the types of objects that are about identity and access. All others are
-- configuration.
CREATE OR REPLACE VIEW akuity.ecs_events AS
WITH types (action, type) AS (
    VALUES ('created', 'creation'), ('updated', 'change'), ('deleted', 'deletion')
),
events AS (
    SELECT
        log.*,
        coalesce(types.type, 'info') AS event_type,
        nullif(log.actor->>'id', '') AS actor_id,
        nullif(log.actor->>'ip', '') AS actor_ip,
        nullif(log.object->>'type', '') AS object_type,
        nullif(log.object->'id'->>'name', '') AS object_name
    FROM akuity.audit_logs AS log
    LEFT JOIN types ON types.action = log.action
)
SELECT
    id,
    timestamp,
    jsonb_strip_nulls(jsonb_build_object(
        '@timestamp', to_char(timestamp, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'ecs', jsonb_build_object('version', '8.11.0'),
        'message', nullif(details->>'message', ''),
        'event', jsonb_build_object(
            'id', id,
            'kind', 'event',
            'module', 'akuity',
            'dataset', 'akuity.audit',
            'action', nullif(action, ''),
            'category', jsonb_build_array(CASE
                WHEN object_type IN (
                    'api_key', 'api_keys', 'custom_role', 'custom_roles', 'member',
                    'oidc_issuers', 'organization_invite', 'service_accounts', 'team',
                    'team_member', 'workspace_member'
                ) THEN 'iam'
                ELSE 'configuration'
            END),
            'type', jsonb_build_array(event_type)
        ),
        'user', CASE WHEN actor_id IS NOT NULL THEN jsonb_build_object(
            'id', actor_id,
            'name', actor_id,
            'email', CASE
                WHEN (actor->>'type') = 'user' AND actor_id LIKE '%@%' THEN actor_id
            END
        ) END,
        'source', CASE WHEN actor_ip IS NOT NULL THEN jsonb_build_object('ip', actor_ip) END,
        'related', CASE WHEN coalesce(actor_id, actor_ip) IS NOT NULL THEN jsonb_build_object(
            'user', CASE WHEN actor_id IS NOT NULL THEN jsonb_build_array(actor_id) END,
            'ip', CASE WHEN actor_ip IS NOT NULL THEN jsonb_build_array(actor_ip) END
        ) END,
        'orchestrator', jsonb_build_object(
            'type', 'akuity',
            'organization', organization_id,
            'namespace', nullif(object->'id'->>'namespace', ''),
            'resource', CASE WHEN coalesce(object_type, object_name) IS NOT NULL THEN
                jsonb_build_object('type', object_type, 'name', object_name)
            END
        ),
        'akuity', jsonb_build_object(
            'actor', actor,
            'object', object,
            'details', details,
            'count', count,
            'lastOccurredTimestamp', to_char(
                "lastOccurredTimestamp", 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
            )
        )
    )) AS document
FROM events;
