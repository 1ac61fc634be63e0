-- Who changed roles, members, teams, invitations and API keys? The newest come first;
-- times are UTC.
--
-- Adjust: the types of objects that decide who may do what. `team` and `team_member` are
-- not among the types that Akuity publishes, so these two names are unverified. The
-- change itself is in `details->>'patch'`, if Akuity sent it.
SELECT
    date_trunc('second', timestamp) AS time,
    actor->>'id' AS who,
    actor->>'ip' AS ip,
    action,
    object->>'type' AS object,
    object->'id'->>'name' AS name,
    object->'parentId'->>'name' AS workspace
FROM akuity.audit_logs
WHERE (object->>'type') IN (
        'api_key', 'custom_role', 'member', 'organization_invite', 'team',
        'team_member', 'workspace_member'
    )
    AND coalesce(action, '') NOT IN ('logged_in', 'logged_out')
ORDER BY timestamp DESC, id;
