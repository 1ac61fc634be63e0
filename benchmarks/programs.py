"""How to run each program, and how to check its output."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.checking import Change, same_count, same_events
from benchmarks.measuring import run
from sandbox.server import Sandbox
from sandbox.truth import Row, flattened
from scripts import ROOT
from scripts.environments import HOME

PEERS = ROOT / "benchmarks" / "peers"

START_DATE, END_DATE = "2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z"


class Job(NamedTuple):
    """The task of a program, as of a case, in an empty folder."""

    folder: Path
    server: Sandbox
    page_size: int | None
    bookmark: str | None
    """The time of the last event, if an earlier run has read everything."""

    here: bool
    """Whether programs run in the project's own environment."""

    def executable(self, environment: str, name: str = "python") -> str:
        """Return the path of a program in an environment."""
        folder = HOME / f"bench-{environment}" / "bin"
        return str((Path(sys.executable).parent if self.here else folder) / name)

    def write(self, name: str, content: object) -> str:
        """Write a JSON file, and return its path."""
        path = self.folder / name
        text = json.dumps(content).replace("$FOLDER", self.folder.as_uri())
        path.write_text(text, encoding="utf-8")
        return str(path)

    def config(self, **settings: object) -> str:
        """Write the configuration file that all programs read, and return its path."""
        config = {
            "api_url": self.server.url,
            "organization_id": self.server.organization_id,
            "api_key_id": self.server.api_key_id,
            "api_key_secret": self.server.api_key_secret,
            "start_date": START_DATE,
            "end_date": None if self.bookmark else END_DATE,
            "page_size": self.page_size,
            **settings,
        }
        given = {name: value for name, value in config.items() if value is not None}
        return self.write("config.json", given)


class Program(NamedTuple):
    """A way to do a job."""

    name: str
    environment: str
    command: Callable[[Job], list[str]]
    problem: Callable[[Path, list[Row]], str]
    """Says how the output differs from the events, if it does."""


class Mode(NamedTuple):
    """Settings that change the output of a tap, and how."""

    name: str
    settings: dict[str, Any]
    change: Change = dict


def _without_patch(row: Row) -> Row:
    details = {**(row["details"] or {}), "patch": None}
    del details["patch"]
    return row | {"details": row["details"] and details}


def _hash_ip(row: Row) -> Row:
    if not (actor := row["actor"]):
        return row
    actor = {name: actor.get(name) for name in ("id", "type", "origin", "ip")}
    ip = actor["ip"] and sha256(f"pepper{actor['ip']}".encode()).hexdigest()
    return row | {"actor": actor | {"ip": ip}}


# The recipes in the documentation.
ACTOR = (
    "actor and { 'id': actor.get('id'), 'type': actor.get('type'), "
    "'origin': actor.get('origin'), "
    "'ip': actor.get('ip') and sha256(config['salt'] + actor['ip'])}"
)
MAPS = {"audit_logs": {"actor": ACTOR}}
SALTED = {"stream_map_config": {"salt": "pepper"}, "stream_maps": MAPS}
FLAT = {"flattening_enabled": True, "flattening_max_depth": 3}
IN_BATCHES = {
    "encoding": {"format": "jsonl", "compression": "gzip"},
    "storage": {"root": "$FOLDER", "prefix": "audit-"},
}

PLAIN = Mode("", {})
DESELECTED = Mode("without details.patch", {}, _without_patch)
MODES = (
    PLAIN,
    DESELECTED,
    Mode("flattened", FLAT, flattened),
    Mode("hashed IP", SALTED, _hash_ip),
    Mode("batches, gzip", {"batch_config": IN_BATCHES}),
)


def tap_akuity(mode: Mode = PLAIN, **settings: object) -> Program:
    """Return this project's tap, with settings."""
    return _tap("tap-akuity", ["tap-akuity"], mode, settings)


def sdk_default(mode: Mode = PLAIN) -> Program:
    """Return the tap that most people would write, with settings."""
    return _tap("SDK default", ["python", str(PEERS / "sdk_default.py")], mode, {})


def _tap(name: str, words: list[str], mode: Mode, settings: dict[str, Any]) -> Program:
    environment = name.lower().replace(" ", "-")

    def command(job: Job) -> list[str]:
        tap = [job.executable(environment, words[0]), *words[1:]]
        tap += ["--config", job.config(**mode.settings, **settings)]
        if mode is DESELECTED:
            tap += ["--catalog", _catalog(tap, job)]
        if job.bookmark:
            bookmark = {
                "replication_key": "timestamp",
                "replication_key_value": job.bookmark,
                # Not the first run of a day, which does more.
                "checked_on": datetime.now(UTC).date().isoformat(),
            }
            state = {"bookmarks": {"audit_logs": bookmark}}
            tap += ["--state", job.write("state.json", state)]
        return tap

    titles = [name, mode.name, *(f"{key} {value}" for key, value in settings.items())]
    has_ids = environment == "tap-akuity"
    problem = partial(same_events, change=mode.change, has_ids=has_ids)
    return Program(", ".join(filter(None, titles)), environment, command, problem)


def _catalog(tap: list[str], job: Job) -> str:
    """Write the catalog with `details.patch` deselected, and return its path."""
    run([*tap, "--discover"], job.folder)
    catalog = json.loads((job.folder / "output").read_bytes())
    for entry in catalog["streams"][0]["metadata"]:
        if entry["breadcrumb"] == ["properties", "details", "properties", "patch"]:
            entry["metadata"]["selected"] = False
    return job.write("catalog.json", catalog)


def _script(environment: str, script: str, job: Job) -> list[str]:
    return [job.executable(environment), str(PEERS / script), job.config()]


TAP_AKUITY, SDK_DEFAULT = tap_akuity(), sdk_default()
DLT = Program(
    "dlt, extract only",
    "dlt",
    partial(_script, "dlt", "dlt_rest_api.py"),
    same_count,
)
SCRIPT = Program(
    "script: requests + orjson",
    "script",
    partial(_script, "script", "requests_orjson.py"),
    partial(same_events, change=dict, has_ids=False),
)
