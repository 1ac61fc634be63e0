"""How each program is run on a job."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import ENVIRONMENTS, FOLDER
from benchmarks.data import BOOKMARK, END_DATE, START_DATE
from benchmarks.digest import MICROSECONDS, NANOSECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.sandboxes import Sandbox

    Pipeline = list[list[str]]

PEERS = FOLDER / "peers"
DATABASE = "warehouse.duckdb"
STDOUT = "output"
STREAM = "audit_logs"
COUNT = "count"
"""The format of what a program writes that only counts the events."""

PRESENT = ("tap-akuity", "sdk-default")
"""The environments whose programs run in the project's own environment, too."""


class Job(NamedTuple):
    """What a program is given to do."""

    folder: Path
    """An empty one, to work in."""

    server: Sandbox
    page_size: int | None = None
    """The program's own, if not given."""

    resumed: bool = False
    """Whether everything was read before."""

    here: bool = False
    """Whether programs run in the project's own environment."""

    def executable(self, environment: str, name: str) -> str:
        """Name a program of an environment."""
        home = ENVIRONMENTS / environment / "bin"
        return str((Path(sys.executable).parent if self.here else home) / name)

    def write(self, name: str, content: object) -> str:
        """Write a JSON file, and name it."""
        path = self.folder / name
        path.write_text(json.dumps(content), encoding="utf-8")
        return str(path)

    def config(self, settings: dict[str, Any] | None = None) -> str:
        """Write the configuration file that all programs read, and name it."""
        server = self.server
        config = {
            "api_url": server.url,
            "organization_id": server.organization_id,
            "api_key_id": server.api_key_id,
            "api_key_secret": server.api_key_secret,
            "start_date": START_DATE,
            **({"page_size": self.page_size} if self.page_size else {}),
            **({} if self.resumed else {"end_date": END_DATE}),
            **(settings or {}),
        }
        return self.write("config.json", config)


class Program(NamedTuple):
    """A way to do a job."""

    name: str
    environment: str
    pipeline: Callable[[Job], Pipeline]
    output: str | None
    """The format of what it writes: `COUNT`, or one of `benchmarks.digest`."""

    file: str = STDOUT
    """Where in the job's folder that is."""

    digits: int = NANOSECONDS
    """How much of the fraction of a second it keeps."""

    form: str = "plain"
    """What it changes in each event: one of `benchmarks.digest.FORMS`."""


class Mode(NamedTuple):
    """Settings that change what a tap writes."""

    name: str
    settings: dict[str, Any]
    output: str = "singer"
    form: str = "plain"
    deselected: tuple[str, ...] = ()
    """The path of a property in the catalog."""


PLAIN = Mode("", {})
# The recipes of the README.
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

    def command(job: Job) -> list[str]:
        return [job.executable("tap-akuity", "tap-akuity")]

    return _tap("tap-akuity", "tap-akuity", command, mode, settings)


def sdk_default(mode: Mode = PLAIN) -> Program:
    """Return the tap that most people would write, with settings."""

    def command(job: Job) -> list[str]:
        python = job.executable("sdk-default", "python")
        return [python, str(PEERS / "sdk_default.py")]

    return _tap("SDK default", "sdk-default", command, mode, {})


def _tap(
    name: str,
    environment: str,
    command: Callable[[Job], list[str]],
    mode: Mode,
    settings: dict[str, Any],
) -> Program:
    def pipeline(job: Job) -> Pipeline:
        config = {**mode.settings, **settings}
        if batches := config.get("batch_config"):
            storage = {"root": f"file://{job.folder}"}
            config["batch_config"] = {**batches, "storage": storage}
        tap = [*command(job), "--config", job.config(config)]
        extra = []
        if mode.deselected:
            extra += ["--catalog", _catalog(tap, job, mode.deselected)]
        if job.resumed:
            bookmark = {"replication_key": "timestamp"}
            state = {STREAM: {**bookmark, "replication_key_value": BOOKMARK}}
            extra += ["--state", job.write("state.json", {"bookmarks": state})]
        return [[*tap, *extra]]

    titles = [name, mode.name, *(f"{key} {value}" for key, value in settings.items())]
    title = ", ".join(filter(None, titles))
    return Program(title, environment, pipeline, mode.output, form=mode.form)


def _catalog(tap: list[str], job: Job, deselected: Sequence[str]) -> str:
    """Write the catalog with a property less, and name it."""
    # No shell, and nothing from outside in the command.
    done = subprocess.run(  # noqa: S603
        [*tap, "--discover"], cwd=job.folder, check=True, capture_output=True
    )
    catalog = json.loads(done.stdout)
    metadata = catalog["streams"][0]["metadata"]
    entry = next(one for one in metadata if one["breadcrumb"] == [*deselected])
    entry["metadata"]["selected"] = False
    return job.write("catalog.json", catalog)


def _python(environment: str, script: str, *options: str) -> Callable[[Job], Pipeline]:
    """Run one of the peers that are scripts, on the configuration file."""

    def pipeline(job: Job) -> Pipeline:
        python = job.executable(environment, "python")
        return [[python, str(PEERS / script), job.config(), *options]]

    return pipeline


def _airbyte(job: Job) -> Pipeline:
    manifest = (PEERS / "airbyte_manifest.yaml").read_text(encoding="utf-8")
    path = job.folder / "manifest.yaml"
    text = manifest.replace("PAGE_SIZE", str(job.page_size))
    path.write_text(text, encoding="utf-8")
    stream = {
        "name": STREAM,
        "json_schema": {},
        "supported_sync_modes": ["full_refresh"],
    }
    modes = {"sync_mode": "full_refresh", "destination_sync_mode": "append"}
    catalog = job.write("catalog.json", {"streams": [{"stream": stream, **modes}]})
    source = [job.executable("airbyte", "source-declarative-manifest"), "read"]
    files = ["--config", job.config(), "--catalog", catalog]
    return [[*source, *files, "--manifest-path", str(path)]]


def _tap_into_duckdb(job: Job) -> Pipeline:
    config = {"filepath": DATABASE, "default_target_schema": "akuity"}
    target = job.executable("target-duckdb", "target-duckdb")
    load = [target, "--config", job.write("target.json", config)]
    return [*TAP_AKUITY.pipeline(job), load]


TAP_AKUITY = tap_akuity()
TAP_VERSION = Program(
    "tap-akuity --version",
    "tap-akuity",
    lambda job: [[job.executable("tap-akuity", "tap-akuity"), "--version"]],
    None,
)
EMPTY_TAP = Program(
    "importing singer-sdk, building an empty tap",
    "sdk-default",
    lambda job: [
        [job.executable("sdk-default", "python"), str(PEERS / "empty_tap.py")]
    ],
    None,
)
SDK_DEFAULT = sdk_default()
AIRBYTE = Program("airbyte-cdk, low-code", "airbyte", _airbyte, "airbyte")
DLT_EXTRACT = Program(
    "dlt, extract only", "dlt", _python("dlt", "dlt_rest_api.py"), COUNT
)
REQUESTS_ORJSON = Program(
    "script: requests + orjson",
    "requests-orjson",
    _python("requests-orjson", "requests_orjson.py"),
    "json-lines",
)
TAP_INTO_DUCKDB = Program(
    "tap-akuity | target-duckdb",
    "target-duckdb",
    _tap_into_duckdb,
    "target-duckdb",
    DATABASE,
    MICROSECONDS,
)
DLT_INTO_DUCKDB = Program(
    "dlt into DuckDB, defaults",
    "dlt",
    _python("dlt", "dlt_rest_api.py", "--duckdb", DATABASE),
    "dlt-duckdb",
    DATABASE,
)
DLT_PARQUET_INTO_DUCKDB = DLT_INTO_DUCKDB._replace(
    name="dlt into DuckDB, by Parquet",
    pipeline=_python(
        "dlt", "dlt_rest_api.py", "--duckdb", DATABASE, "--file-format", "parquet"
    ),
)
