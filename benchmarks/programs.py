"""How to run each program on a job."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import ENVIRONMENTS, FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.sandboxes import Sandbox

PEERS = FOLDER / "peers"
STREAM = "audit_logs"
COUNT = "count"
"""The output format of a program that only counts events."""

START_DATE, END_DATE = "2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z"
BOOKMARK = "2026-01-02T00:00:00Z"
"""Late enough that no lookback reaches the last event."""

PRESENT = ("tap-akuity", "sdk-default")
"""Environments whose programs also run in the project's own environment."""


class Job(NamedTuple):
    """The task of a program."""

    folder: Path
    """An empty working directory."""

    server: Sandbox
    page_size: int | None = None
    """The program's default, if `None`."""

    resumed: bool = False
    """Whether an earlier run has read everything."""

    here: bool = False
    """Whether programs run in the project's own environment."""

    def executable(self, environment: str, name: str = "python") -> str:
        """Return the path of a program in an environment."""
        home = ENVIRONMENTS / environment / "bin"
        return str((Path(sys.executable).parent if self.here else home) / name)

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


class Program(NamedTuple):
    """A way to do a job."""

    name: str
    environment: str
    command: Callable[[Job], list[str]]
    output: str | None
    """The output format: `COUNT`, or a key of `benchmarks.digest.READERS`."""

    form: str = "plain"
    """The change to each event: a key of `benchmarks.digest.FORMS`."""


class Mode(NamedTuple):
    """Settings that change the output of a tap."""

    name: str
    settings: dict[str, Any]
    output: str = "singer"
    form: str = "plain"
    deselected: tuple[str, ...] = ()
    """The breadcrumb of a property in the catalog."""


PLAIN = Mode("", {})
# The recipes in the documentation.
DESELECTED = Mode(
    "without details.patch",
    {},
    form="without-patch",
    deselected=("properties", "details", "properties", "patch"),
)
HASHED = Mode(
    "hashed IP",
    {
        "stream_map_config": {"salt": "pepper"},
        "stream_maps": {
            STREAM: {
                "actor": "actor and { 'id': actor.get('id'), "
                "'type': actor.get('type'), 'origin': actor.get('origin'), "
                "'ip': actor.get('ip') and sha256(config['salt'] + actor['ip'])}"
            }
        },
    },
    form="hashed-ip",
)
FLATTENED = Mode(
    "flattened",
    {"flattening_enabled": True, "flattening_max_depth": 3},
    output="singer-flattened",
)
BATCHES = Mode(
    "batches, gzip",
    {"batch_config": {"encoding": {"format": "jsonl", "compression": "gzip"}}},
    output="singer-batches",
)
MODES = (DESELECTED, FLATTENED, HASHED, BATCHES)


def tap_akuity(mode: Mode = PLAIN, **settings: object) -> Program:
    """Return this project's tap, with settings."""
    return _tap("tap-akuity", "tap-akuity", ("tap-akuity",), mode, settings)


def sdk_default(mode: Mode = PLAIN) -> Program:
    """Return the tap that most people would write, with settings."""
    script = str(PEERS / "sdk_default.py")
    return _tap("SDK default", "sdk-default", ("python", script), mode, {})


def _tap(
    name: str,
    environment: str,
    words: Sequence[str],
    mode: Mode,
    settings: dict[str, Any],
) -> Program:
    def command(job: Job) -> list[str]:
        config = {**mode.settings, **settings}
        if batches := config.get("batch_config"):
            storage = {"root": f"file://{job.folder}"}
            config["batch_config"] = {**batches, "storage": storage}
        tap = [job.executable(environment, words[0]), *words[1:]]
        tap += ["--config", job.config(**config)]
        extra = []
        if mode.deselected:
            extra += ["--catalog", _catalog(tap, job, mode.deselected)]
        if job.resumed:
            bookmark = {"replication_key": "timestamp"}
            bookmark["replication_key_value"] = BOOKMARK
            # Not the first run of a day, which does more.
            bookmark["checked_on"] = datetime.now(timezone.utc).date().isoformat()
            state = {STREAM: bookmark}
            extra += ["--state", job.write("state.json", {"bookmarks": state})]
        return [*tap, *extra]

    titles = [name, mode.name, *(f"{key} {value}" for key, value in settings.items())]
    title = ", ".join(filter(None, titles))
    return Program(title, environment, command, mode.output, mode.form)


def _catalog(tap: list[str], job: Job, deselected: Sequence[str]) -> str:
    """Write the catalog with a property deselected, and return its path."""
    # No shell, and no external input in the command.
    done = subprocess.run(  # noqa: S603
        [*tap, "--discover"], cwd=job.folder, check=True, capture_output=True
    )
    catalog = json.loads(done.stdout)
    metadata = catalog["streams"][0]["metadata"]
    entry = next(one for one in metadata if one["breadcrumb"] == [*deselected])
    entry["metadata"]["selected"] = False
    return job.write("catalog.json", catalog)


def _script(name: str, environment: str, script: str, output: str | None) -> Program:
    """Return a peer that is a script and reads the configuration file."""

    def command(job: Job) -> list[str]:
        return [job.executable(environment), str(PEERS / script), job.config()]

    return Program(name, environment, command, output)


TAP_AKUITY, SDK_DEFAULT = tap_akuity(), sdk_default()
TAP_VERSION = Program(
    "tap-akuity --version",
    "tap-akuity",
    lambda job: [job.executable("tap-akuity", "tap-akuity"), "--version"],
    None,
)
EMPTY_TAP = _script(
    "importing singer-sdk, building an empty tap", "sdk-default", "empty_tap.py", None
)
DLT_EXTRACT = _script("dlt, extract only", "dlt", "dlt_rest_api.py", COUNT)
REQUESTS_ORJSON = _script(
    "script: requests + orjson", "requests-orjson", "requests_orjson.py", "json-lines"
)
