"""How each program is run on a job."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import FOLDER
from benchmarks.data import BOOKMARK, END_DATE, START_DATE
from benchmarks.digest import MICROSECONDS, NANOSECONDS
from benchmarks.environments import executable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.serving import Server

    Pipeline = list[list[str]]

PEERS = FOLDER / "peers"
DATABASE = "warehouse.duckdb"
STDOUT = "output"
STREAM = "audit_logs"
COUNT = "count"
"""The format of what a program writes that only counts the records."""


class Job(NamedTuple):
    """What a program is given to do."""

    folder: Path
    """An empty one, to work in."""

    server: Server
    page_size: int
    resumed: bool = False
    """Whether everything was read before."""

    records: Path | None = None
    """Records to load, for a program that does not read them from the server."""


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

    loads: bool = False
    """Whether it reads records from a file, and not from the server."""

    proof: Program | None = None
    """What shows that the records are right, where the program itself does not."""


def configuration(job: Job, **settings: Any) -> str:  # noqa: ANN401 - JSON
    """Write the configuration file that all programs read, and name it."""
    server = job.server
    config = {
        "api_url": server.url,
        "organization_id": server.organization_id,
        "api_key_id": server.api_key_id,
        "api_key_secret": server.api_key_secret,
        "start_date": START_DATE,
        "page_size": job.page_size,
        **({} if job.resumed else {"end_date": END_DATE}),
        **settings,
    }
    return _write(job, "config.json", config)


def _write(job: Job, name: str, content: object) -> str:
    path = job.folder / name
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def _state(job: Job) -> list[str]:
    if not job.resumed:
        return []
    bookmark = {"replication_key": "timestamp", "replication_key_value": BOOKMARK}
    return ["--state", _write(job, "state.json", {"bookmarks": {STREAM: bookmark}})]


def tap_akuity(name: str = "tap-akuity", **settings: Any) -> Program:  # noqa: ANN401
    """Run this project's tap, with settings."""

    def pipeline(job: Job) -> Pipeline:
        tap = executable("tap-akuity", "tap-akuity")
        config = configuration(job, **settings)
        return [[tap, "--config", config, *_state(job)]]

    return Program(name, "tap-akuity", pipeline, "singer")


def _tap_version(_: Job) -> Pipeline:
    return [[executable("tap-akuity", "tap-akuity"), "--version"]]


def _empty_tap(_: Job) -> Pipeline:
    return [[executable("sdk-default", "python"), str(PEERS / "empty_tap.py")]]


def _sdk_default(job: Job) -> Pipeline:
    script = [executable("sdk-default", "python"), str(PEERS / "sdk_default.py")]
    return [[*script, "--config", configuration(job), *_state(job)]]


def _airbyte(job: Job) -> Pipeline:
    manifest = (PEERS / "airbyte_manifest.yaml").read_text(encoding="utf-8")
    manifest_path = job.folder / "manifest.yaml"
    manifest_path.write_text(
        manifest.replace("PAGE_SIZE", str(job.page_size)), encoding="utf-8"
    )
    stream = {
        "name": STREAM,
        "json_schema": {},
        "supported_sync_modes": ["full_refresh"],
    }
    modes = {"sync_mode": "full_refresh", "destination_sync_mode": "append"}
    catalog = {"streams": [{"stream": stream, **modes}]}
    return [
        [
            executable("airbyte", "source-declarative-manifest"),
            "read",
            "--config",
            configuration(job),
            "--catalog",
            _write(job, "catalog.json", catalog),
            "--manifest-path",
            str(manifest_path),
        ]
    ]


def _dlt(*options: str) -> Callable[[Job], Pipeline]:
    def pipeline(job: Job) -> Pipeline:
        script = [executable("dlt", "python"), str(PEERS / "dlt_rest_api.py")]
        return [[*script, configuration(job), *options]]

    return pipeline


def _requests_orjson(job: Job) -> Pipeline:
    script = str(PEERS / "requests_orjson.py")
    return [[executable("requests-orjson", "python"), script, configuration(job)]]


def _target_duckdb(job: Job) -> Pipeline:
    config = {"filepath": DATABASE, "default_target_schema": "akuity"}
    target = executable("target-duckdb", "target-duckdb")
    return [[target, "--config", _write(job, "target.json", config)]]


def _tap_akuity_into_duckdb(job: Job) -> Pipeline:
    return TAP_AKUITY.pipeline(job) + _target_duckdb(job)


TAP_AKUITY = tap_akuity()
TAP_VERSION = Program("tap-akuity --version", "tap-akuity", _tap_version, None)
EMPTY_TAP = Program(
    "importing singer-sdk, building an empty tap", "sdk-default", _empty_tap, None
)
SDK_DEFAULT = Program("SDK default", "sdk-default", _sdk_default, "singer")
AIRBYTE = Program("airbyte-cdk, low-code", "airbyte", _airbyte, "airbyte")
DLT_EXTRACT = Program(
    "dlt, extract only",
    "dlt",
    _dlt(),
    COUNT,
    proof=Program("dlt, to a file", "dlt", _dlt("--records"), "json-lines"),
)
REQUESTS_ORJSON = Program(
    "script: requests + orjson", "requests-orjson", _requests_orjson, "json-lines"
)
TAP_INTO_DUCKDB = Program(
    "tap-akuity | target-duckdb",
    "target-duckdb",
    _tap_akuity_into_duckdb,
    "target-duckdb",
    DATABASE,
    MICROSECONDS,
)
TARGET_DUCKDB = TAP_INTO_DUCKDB._replace(
    name="target-duckdb, from a file", pipeline=_target_duckdb, loads=True
)
DLT_INTO_DUCKDB = Program(
    "dlt into DuckDB, defaults",
    "dlt",
    _dlt("--duckdb", DATABASE),
    "dlt-duckdb",
    DATABASE,
)
DLT_PARQUET_INTO_DUCKDB = DLT_INTO_DUCKDB._replace(
    name="dlt into DuckDB, by Parquet",
    pipeline=_dlt("--duckdb", DATABASE, "--file-format", "parquet"),
)
