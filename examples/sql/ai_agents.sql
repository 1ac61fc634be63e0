-- What did AI agents change? The newest come first; times are UTC.
--
-- `origin` is `mcp` where an agent acted through Akuity's MCP endpoint, in the name of
-- `who`. Events from before Akuity recorded the origin have none, and are not found.
SELECT
    date_trunc('second', timestamp) AS time,
    actor->>'type' AS type,
    actor->>'id' AS who,
    action,
    object->>'type' AS object,
    object->'id'->>'name' AS name,
    object->'parentId'->>'name' AS parent
FROM akuity.audit_logs
WHERE actor->>'origin' = 'mcp'
ORDER BY timestamp DESC, id;
