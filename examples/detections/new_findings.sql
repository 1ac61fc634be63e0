-- Returns each finding once: those that no earlier run returned.
--
-- They are recorded in a table, so that an event that arrives late is not missed.
CREATE TABLE IF NOT EXISTS akuity.reported_findings (
    rule text NOT NULL,
    id text NOT NULL,
    level text,
    title text,
    timestamp timestamp,
    action text,
    actor_id text,
    object_type text,
    object_name text,
    PRIMARY KEY (rule, id)
);

INSERT INTO akuity.reported_findings
SELECT rule, id, level, title, timestamp, action, actor_id, object_type, object_name
FROM akuity.findings
ON CONFLICT DO NOTHING
RETURNING *;
