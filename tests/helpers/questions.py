"""Events made by hand, and what the SQL of the examples finds in them."""


def event(time, action, who="", kind="", **more):
    """Make an event. Who did it is written as `type id ip origin`, `-` for none."""
    stamp = f"{time} +0000 UTC"
    words = zip(("type", "id", "ip", "origin"), who.split(), strict=False)
    actor = {name: word for name, word in words if word != "-"}
    name = {"name": more.pop("name", "x")}
    thing = {"type": kind, "id": name, "parentId": {"name": "main"}}
    return {
        "timestamp": stamp,
        "lastOccurredTimestamp": stamp,
        "count": 1,
        "action": action,
        "actor": actor or None,
        "object": thing if kind else None,
        "details": {"message": f"{kind} {name['name']}"},
        **more,
    }


EVENTS = [
    event("2025-03-01 12:00:00", "logged_in", "user ann 192.0.2.1", "member"),
    event("2025-03-02 12:00:00", "updated", "user ann 192.0.2.1", "member"),
    # On a Monday in winter, from 8:30 to 0:00 in Berlin.
    event("2025-03-03 07:30:00", "synced", "api_key ci 192.0.2.7", "project"),
    event("2025-03-03 16:59:59", "synced", "api_key ci 192.0.2.7", "project"),
    event("2025-03-03 17:00:00.9", "synced", "api_key ci 192.0.2.7", "project"),
    event("2025-03-03 22:59:59", "created", "api_key ci 192.0.2.7", "api_key"),
    event("2025-03-03 23:00:00", "updated", "api_key ci", "project"),
    event("2025-03-15 11:59:59", "created", "user bob 192.0.2.2", "workspace_member"),
    # From here on, what was not seen before is new.
    event("2025-03-15 12:00:00", "deleted", "user eve 192.0.2.3", "custom_role"),
    event("2025-03-16 12:00:00.1", "deleted", "user eve 192.0.2.3", "k8s_resource"),
    event("2025-03-16 12:00:00.2", "updated", "user ann 192.0.2.9 mcp", "team_member"),
    event("2025-03-16 12:00:00.3", "deleted", "api_key ci 192.0.2.9 mcp", "team"),
    event("2025-03-17 12:00:00", "deleted", "user ann", "k8s_resource"),
    event("2025-03-18 12:00:00", "deleted", "system gc", "k8s_resource"),
    # Two at one time, of which nobody knows who did it.
    event("2025-03-19 12:00:00", "deleted", "", "k8s_resource", name="y"),
    event("2025-03-19 12:00:00", "deleted"),
    event("2025-03-20 12:00:00", None, "user bob 192.0.2.2", "organization_invite"),
    event("2025-03-20 12:30:00", "logged_out", "user bob 192.0.2.2", "member"),
    # At noon on a Saturday in summer, and at 8:00 on a Monday.
    event("2025-07-05 10:00:00", None, "api_key", details=None),
    event("2025-07-07 06:00:00", "synced", "api_key ci", "project"),
]

FOUND = {
    "access_changes": """\
2025-03-20 12:00:00|bob|192.0.2.2|-|organization_invite|x|main
2025-03-16 12:00:00|ci|192.0.2.9|deleted|team|x|main
2025-03-16 12:00:00|ann|192.0.2.9|updated|team_member|x|main
2025-03-15 12:00:00|eve|192.0.2.3|deleted|custom_role|x|main
2025-03-15 11:59:59|bob|192.0.2.2|created|workspace_member|x|main
2025-03-03 22:59:59|ci|192.0.2.7|created|api_key|x|main
2025-03-02 12:00:00|ann|192.0.2.1|updated|member|x|main
""",
    "ai_agents": """\
2025-03-16 12:00:00|api_key|ci|deleted|team|x|main
2025-03-16 12:00:00|user|ann|updated|team_member|x|main
""",
    "api_keys_outside_hours": """\
2025-07-05|-|1|12:00:00|12:00:00|-
2025-03-16|ci|1|13:00:00|13:00:00|deleted
2025-03-04|ci|1|00:00:00|00:00:00|updated
2025-03-03|ci|2|18:00:00|23:59:59|created, synced
""",
    "deletions": """\
2025-03-19 12:00:00|-|-|-|-|-|-
2025-03-19 12:00:00|-|-|-|k8s_resource|y|main
2025-03-17 12:00:00|user|ann|-|k8s_resource|x|main
2025-03-16 12:00:00|api_key|ci|192.0.2.9|team|x|main
2025-03-16 12:00:00|user|eve|192.0.2.3|k8s_resource|x|main
2025-03-15 12:00:00|user|eve|192.0.2.3|custom_role|x|main
""",
    "first_seen": """\
2025-03-18 12:00:00|actor|system|gc|-|1
2025-03-16 12:00:00|address|api_key|ci|192.0.2.9|1
2025-03-16 12:00:00|address|user|ann|192.0.2.9|1
2025-03-15 12:00:00|actor|user|eve|192.0.2.3|2
""",
}
"""The rows of each query, as psql prints them unaligned, with `-` for null."""


def printed(rows):
    """Format rows as in `FOUND`."""
    texts = [["-" if one is None else str(one) for one in row] for row in rows]
    return "".join(f"{'|'.join(row)}\n" for row in texts)
