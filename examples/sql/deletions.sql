-- Who deleted what, and from where? The newest come first; times are UTC.
--
-- Adjust: automation deletes all the time, so what actors of the type `system` did is
-- left out. Deletions without an actor stay.
SELECT
    date_trunc('second', timestamp) AS time,
    actor->>'type' AS type,
    actor->>'id' AS who,
    actor->>'ip' AS ip,
    object->>'type' AS object,
    object->'id'->>'name' AS name,
    object->'parentId'->>'name' AS parent
FROM akuity.audit_logs
WHERE action = 'deleted'
    AND (actor->>'type') IS DISTINCT FROM 'system'
ORDER BY timestamp DESC, id;
