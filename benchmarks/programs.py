"""How to run each program, and how to check its output."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.checking import Change, Check, same_count, same_events
from benchmarks.measuring import run
from sandbox.data import Item
from scripts import ROOT
from scripts.environments import HOME
from scripts.sandboxes import Sandbox

PEERS = ROOT / "benchmarks" / "peers"

START_DATE, END_DATE = "2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z"
BOOKMARK = "2026-01-02T00:00:00Z"
"""Late enough that no lookback reaches the last event."""


class Job(NamedTuple):
    """The task of a program, as of a case, in an empty folder."""

    folder: Path
    server: Sandbox
    page_size: int | None
    resumed: bool
    here: bool
    """Whether programs run in the project's own environment."""

    def executable(self, environment: str, name: str = "python") -> str:
        """Return the path of a program in an environment."""
        here = Path(sys.executable).parent
        return str(
            (here if self.here else HOME / f"bench-{environment}" / "bin") / name
        )

    def write(self, name: str, content: object) -> str:
        """Write a JSON file, and return its path."""
        path = self.folder / name
        path.write_text(json.dumps(content), encoding="utf-8")
        return str(path)

    def config(self, **settings: object) -> str:
        """Write the configuration file that all programs read, and return its path."""
        server = self.server
        config = {
            "api_url": server.url,
            "organization_id": server.organization_id,
            "api_key_id": server.api_key_id,
            "api_key_secret": server.api_key_secret,
            "start_date": START_DATE,
            **({"page_size": self.page_size} if self.page_size else {}),
            **({} if self.resumed else {"end_date": END_DATE}),
            **settings,
        }
        return self.write("config.json", config)

    def batches(self) -> dict[str, object]:
        """Return the configuration of batch files in the folder."""
        return {
            "encoding": {"format": "jsonl", "compression": "gzip"},
            "storage": {"root": self.folder.as_uri(), "prefix": "audit-"},
        }


class Program(NamedTuple):
    """A way to do a job."""

    name: str
    environment: str
    command: Callable[[Job], list[str]]
    check: Check | None = None


class Mode(NamedTuple):
    """Settings that change the output of a tap."""

    name: str
    settings: dict[str, Any]
    change: Change | None = None
    """What they do to each flattened event."""

    patches: bool = True
    """Whether `details.patch` is selected."""

    batches: bool = False


def _hash_ip(event: Item) -> Item:
    ip = event.get("actor__ip")
    return {**event, "actor__ip": ip and sha256(f"pepper{ip}".encode()).hexdigest()}


PLAIN = Mode("", {})
# The recipes in the documentation.
DESELECTED = Mode(
    "without details.patch",
    {},
    change=lambda event: {**event, "details__patch": None},
    patches=False,
)
ACTOR = (
    "actor and { 'id': actor.get('id'), 'type': actor.get('type'), "
    "'origin': actor.get('origin'), "
    "'ip': actor.get('ip') and sha256(config['salt'] + actor['ip'])}"
)
MAPS = {"audit_logs": {"actor": ACTOR}}
SALTED = {"stream_map_config": {"salt": "pepper"}, "stream_maps": MAPS}
HASHED = Mode("hashed IP", SALTED, _hash_ip)
FLATTENED = Mode("flattened", {"flattening_enabled": True, "flattening_max_depth": 3})
BATCHES = Mode("batches, gzip", {}, batches=True)
MODES = (DESELECTED, FLATTENED, HASHED, BATCHES)


def tap_akuity(mode: Mode = PLAIN, **settings: object) -> Program:
    """Return this project's tap, with settings."""
    return _tap("tap-akuity", ["tap-akuity"], mode, settings)


def sdk_default(mode: Mode = PLAIN) -> Program:
    """Return the tap that most people would write, with settings."""
    return _tap("SDK default", ["python", str(PEERS / "sdk_default.py")], mode, {})


def _tap(name: str, words: list[str], mode: Mode, settings: dict[str, Any]) -> Program:
    environment = name.lower().replace(" ", "-")

    def command(job: Job) -> list[str]:
        config = {**mode.settings, **settings}
        if mode.batches:
            config["batch_config"] = job.batches()
        tap = [job.executable(environment, words[0]), *words[1:]]
        tap += ["--config", job.config(**config)]
        if not mode.patches:
            tap += ["--catalog", _catalog(tap, job)]
        if job.resumed:
            bookmark = {
                "replication_key": "timestamp",
                "replication_key_value": BOOKMARK,
                # Not the first run of a day, which does more.
                "checked_on": datetime.now(UTC).date().isoformat(),
            }
            state = {"bookmarks": {"audit_logs": bookmark}}
            tap += ["--state", job.write("state.json", state)]
        return tap

    titles = [name, mode.name, *(f"{key} {value}" for key, value in settings.items())]
    title = ", ".join(filter(None, titles))
    return Program(title, environment, command, same_events(mode.change))


def _catalog(tap: list[str], job: Job) -> str:
    """Write the catalog with `details.patch` deselected, and return its path."""
    run([*tap, "--discover"], job.folder)
    catalog = json.loads((job.folder / "output").read_bytes())
    for entry in catalog["streams"][0]["metadata"]:
        if entry["breadcrumb"] == ["properties", "details", "properties", "patch"]:
            entry["metadata"]["selected"] = False
    return job.write("catalog.json", catalog)


def _script(name: str, script: str, environment: str, check: Check | None) -> Program:
    """Return a peer that is a script and reads the configuration file."""

    def command(job: Job) -> list[str]:
        return [job.executable(environment), str(PEERS / script), job.config()]

    return Program(name, environment, command, check)


TAP_AKUITY, SDK_DEFAULT = tap_akuity(), sdk_default()
DLT = _script("dlt, extract only", "dlt_rest_api.py", "dlt", same_count)
SCRIPT = _script(
    "script: requests + orjson", "requests_orjson.py", "script", same_events()
)
