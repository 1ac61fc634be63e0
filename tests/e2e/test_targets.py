"""The sandbox, the tap, each target: is every row what the sandbox has?"""

from __future__ import annotations

import gzip
import json
import subprocess
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from sandbox.server import Sandbox
from tests.helpers import history
from tests.helpers.commands import TAP
from tests.helpers.environments import commands_of
from tests.helpers.mariadb import MariaDB
from tests.helpers.object_storage import S3Csv, S3Jsonl, S3Parquet
from tests.helpers.pipelines import Run, run
from tests.helpers.running import bookmark, config_for
from tests.helpers.search import Elasticsearch
from tests.helpers.targets import (
    Csv,
    CsvInBatches,
    DuckDB,
    Jsonl,
    PipelinewisePostgreSQL,
    PostgreSQL,
    PostgreSQLInBatches,
    Warehouse,
)
from tests.helpers.truth import COLUMNS, differences, flattened, truth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.truth import Row

# The first to ask for a target also waits for its installation.
pytestmark = pytest.mark.timeout(360)

KINDS: tuple[type[Warehouse], ...] = (Jsonl, Csv, DuckDB, PostgreSQL)
"""Those that are also tried with what changes records."""

ALL_KINDS: tuple[type[Warehouse], ...] = (
    *KINDS,
    PipelinewisePostgreSQL,
    S3Jsonl,
    S3Parquet,
    S3Csv,
    MariaDB,
    Elasticsearch,
)


class Pipeline(NamedTuple):
    """A target, ready to be loaded into."""

    commands: Path
    warehouse: Warehouse
    folder: Path

    def load(
        self,
        sandbox: Sandbox,
        state: dict[str, Any] | None = None,
        catalog: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Run:
        """Load what is new, which must go well."""
        done = self.try_to_load(sandbox, state, catalog, **settings)
        assert (done.tap_code, done.target_code) == (0, 0), done.errors
        return done

    def try_to_load(
        self,
        sandbox: Sandbox,
        state: dict[str, Any] | None = None,
        catalog: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Run:
        """Load what is new."""
        return run(
            self.commands,
            self.warehouse,
            self.folder,
            config_for(sandbox, **self.warehouse.tap, **settings),
            state=state,
            catalog=catalog,
        )

    def stored(self, rows: dict[str, Row]) -> dict[str, Row]:
        """Give what becomes of rows there."""
        return {name: self.warehouse.stored(row) for name, row in rows.items()}

    def problems(self, rows: dict[str, Row], skip: int = 0) -> list[str]:
        """Say how what is there differs from these rows.

        Args:
            rows: What should be there, and no more.
            skip: How many rows, that came first, to pass over.
        """
        return differences(self.stored(rows), self.warehouse.rows()[skip:])


@pytest.fixture
def pipeline(request: pytest.FixtureRequest, tmp_path: Path) -> Pipeline:
    """Set up the target that the test is for."""
    kind: Any = request.param
    servers = [request.getfixturevalue(kind.server)] if kind.server else []
    return Pipeline(commands_of(kind), kind(tmp_path, *servers), tmp_path)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve what happened before the first run."""
    with Sandbox(history.before()) as server:
        yield server


def into(*kinds: Any) -> pytest.MarkDecorator:
    """Run a test for each of these targets."""
    return pytest.mark.parametrize(
        "pipeline", kinds, indirect=True, ids=lambda kind: kind.__name__
    )


@into(*ALL_KINDS)
def test_every_event_and_every_field(
    pipeline: Pipeline, sandbox: Sandbox, summary: list[str]
) -> None:
    before = truth(sandbox)
    first = pipeline.load(sandbox)
    assert first.read == len(before)
    assert pipeline.problems(before) == []

    history.meanwhile(sandbox)
    after = truth(sandbox)
    second = pipeline.load(sandbox, first.state)
    changed = {name for name, row in after.items() if before.get(name) != row}
    # Those added, the one that came late, and the one that was seen again.
    assert len(changed) == history.RECENT - history.KNOWN + 2
    assert len(changed) < second.read < len(before)

    if not pipeline.warehouse.updates:
        # The one that was seen again is what it was, and so a loss; see its class.
        after = {name: before.get(name, row) for name, row in after.items()}
    if pipeline.warehouse.upserts:
        assert pipeline.problems(after) == []
    else:
        rows = pipeline.warehouse.rows()
        assert len(rows) == first.read + second.read
        again = {row["id"]: after[row["id"]] for row in rows[first.read :]}
        assert changed <= again.keys()
        assert pipeline.problems(again, skip=first.read) == []
        last = {row["id"]: row for row in rows}
        assert differences(pipeline.stored(after), last.values()) == []
    summary.append(
        f"{' '.join(pipeline.warehouse.requirements):70} {first.read} + {second.read} "
        f"rows loaded, {len(after)} compared, {len(COLUMNS)} fields each"
    )


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({}, []),
        ({"count": 2}, ["count of a is 2, not 1"]),
        ({"count": None}, ["count of a is None, not 1"]),
        ({"timestamp": 1_001}, ["timestamp of a is 1001, not 1000"]),
        ({"actor": {"id": "é"}}, ["actor of a is {'id': 'é'}, not {'id': 'e\u0301'}"]),
        ({"more": None}, ["more of a is None, not None"]),
        ({"id": "b"}, ["b is none of the sandbox's", "a is missing"]),
    ],
)
def test_the_comparison_notices(change: Row, difference: list[str]) -> None:
    row = {"id": "a", "timestamp": 1_000, "count": 1, "actor": {"id": "e\u0301"}}
    assert differences({"a": row}, [row | change]) == difference
    assert differences({"a": row}, [row, row]) == ["a is there twice"]


@into(*KINDS)
def test_the_state_is_the_newest_event(pipeline: Pipeline, sandbox: Sandbox) -> None:
    first = pipeline.load(sandbox)
    assert bookmark(first.state or {}) == "2025-11-01T00:06:30.999999861Z"
    again = pipeline.load(sandbox, first.state, lookback_seconds=0)
    assert again.state == first.state
    assert again.read == 1


@into(*KINDS)
def test_flattened(pipeline: Pipeline, sandbox: Sandbox) -> None:
    pipeline.load(sandbox, flattening_enabled=True, flattening_max_depth=3)
    rows = truth(sandbox)
    assert pipeline.problems({name: flattened(row) for name, row in rows.items()}) == []


# The recipes of the README, together.
MAPS: dict[str, Any] = {
    "stream_map_config": {"salt": "of the tests"},
    "stream_maps": {
        "audit_logs": {
            "__filter__": "((object or {}).get('type') or '') != 'k8s_resource'",
            "actor": (
                "actor and {'id': actor.get('id'), 'type': actor.get('type'), "
                "'origin': actor.get('origin'), 'ip': "
                "actor.get('ip') and sha256(config['salt'] + actor['ip'])}"
            ),
            "details": (
                "details and {'message': details.get('message'), "
                "'actionType': details.get('actionType')}"
            ),
        }
    },
}


def mapped(row: Row) -> Row | None:
    """Do as `MAPS` does."""
    actor, details = row["actor"], row["details"]
    if (row["object"] or {}).get("type") == "k8s_resource":
        return None
    if actor:
        ip = actor.get("ip")
        ip = ip and sha256(f"of the tests{ip}".encode()).hexdigest()
        actor = {"origin": None, **actor, "ip": ip}
    if details:
        details = {name: text for name, text in details.items() if name != "patch"}
    return {**row, "actor": actor, "details": details}


@into(*KINDS)
def test_mapped(pipeline: Pipeline, sandbox: Sandbox) -> None:
    pipeline.load(sandbox, **MAPS)
    rows = truth(sandbox)
    expected = {name: one for name, row in rows.items() if (one := mapped(row))}
    assert 0 < len(expected) < len(rows)
    assert pipeline.problems(expected) == []


def into_files(folder: Path) -> dict[str, Any]:
    """Make a folder, and give the setting that has batches written there."""
    folder.mkdir()
    return {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": folder.as_uri(), "prefix": "audit-"},
        "batch_size": 500,
    }


@into(CsvInBatches, PostgreSQLInBatches)
def test_mapped_and_flattened_in_batches(pipeline: Pipeline, sandbox: Sandbox) -> None:
    pipeline.load(
        sandbox,
        batch_config=into_files(pipeline.folder / "batches"),
        flattening_enabled=True,
        flattening_max_depth=3,
        **MAPS,
    )
    rows = truth(sandbox)
    expected = {
        name: flattened(one) for name, row in rows.items() if (one := mapped(row))
    }
    assert 0 < len(expected) < len(rows)
    assert pipeline.problems(expected) == []


@into(CsvInBatches, PostgreSQLInBatches)
def test_in_batches(pipeline: Pipeline, sandbox: Sandbox, summary: list[str]) -> None:
    folder = pipeline.folder / "batches"
    batches = into_files(folder)
    before = truth(sandbox)
    first = pipeline.load(sandbox, batch_config=batches)
    files = sorted(folder.glob("audit-*.json.gz"))
    assert len(files) == -(-len(before) // 500)
    lines = [
        line
        for file in files
        for line in gzip.decompress(file.read_bytes()).splitlines()
    ]
    assert {json.loads(line)["id"] for line in lines} == before.keys()
    assert pipeline.problems(before) == []

    history.meanwhile(sandbox)
    after = truth(sandbox)
    second = pipeline.load(sandbox, first.state, batch_config=batches)
    assert second.read < first.read
    last = {row["id"]: row for row in pipeline.warehouse.rows()}
    assert differences(pipeline.stored(after), last.values()) == []
    summary.append(
        f"{pipeline.warehouse.requirements[0] + ', in batches':70} "
        f"{first.read} + {second.read} rows loaded, {len(after)} compared, "
        f"{len(COLUMNS)} fields each"
    )


def discovered() -> dict[str, Any]:
    """Give the catalog that `--discover` writes."""
    done = subprocess.run(
        [TAP, "--discover"], capture_output=True, check=True, timeout=60
    )
    catalog: dict[str, Any] = json.loads(done.stdout)
    return catalog


def deselect(catalog: dict[str, Any], *paths: tuple[str, ...]) -> None:
    """Edit a catalog, as `vi` would."""
    (stream,) = catalog["streams"]
    breadcrumbs = [
        [part for name in path for part in ("properties", name)] for path in paths
    ]
    for entry in stream["metadata"]:
        if entry["breadcrumb"] in breadcrumbs:
            entry["metadata"]["selected"] = False
            breadcrumbs.remove(entry["breadcrumb"])
    assert breadcrumbs == []


@into(*KINDS)
def test_only_some_properties(pipeline: Pipeline, sandbox: Sandbox) -> None:
    catalog = discovered()
    deselect(catalog, ("object",), ("count",), ("details", "patch"), ("actor", "ip"))
    pipeline.load(sandbox, catalog=catalog)
    expected = {
        name: {
            key: {
                inner: one
                for inner, one in value.items()
                if (key, inner) not in {("details", "patch"), ("actor", "ip")}
            }
            if isinstance(value, dict)
            else value
            for key, value in row.items()
            if key not in {"object", "count"}
        }
        for name, row in truth(sandbox).items()
    }
    assert pipeline.problems(expected) == []


@into(*KINDS)
def test_a_catalog_as_discovered(pipeline: Pipeline, sandbox: Sandbox) -> None:
    pipeline.load(sandbox, catalog=discovered())
    assert pipeline.problems(truth(sandbox)) == []


@into(Jsonl, DuckDB, PostgreSQL)
def test_what_akuity_may_add_one_day(pipeline: Pipeline) -> None:
    items = history.before()[-20:]
    for number, item in enumerate(items):
        item["actor"] = {"type": "user", "id": str(number), "team": ["a", {"b": None}]}
        item["reason"] = {"ticket": number}
    with Sandbox(items) as sandbox:
        pipeline.load(sandbox)
        expected = truth(sandbox)
    if pipeline.warehouse.upserts:
        # No column of its own, since it is not in the schema that the tap sends.
        for row in expected.values():
            del row["reason"]
    assert pipeline.problems(expected) == []


@into(Csv)
def test_what_a_target_refuses_is_not_lost(
    pipeline: Pipeline, sandbox: Sandbox
) -> None:
    first = pipeline.load(sandbox)
    history.meanwhile(sandbox)
    newest = json.loads(sandbox.store.bodies()[-1])
    sandbox.store.add([{**newest, "action": "other", "reason": "unknown"}])
    second = pipeline.try_to_load(sandbox, first.state)
    assert second.target_code != 0
    assert second.state is None


@into(MariaDB)
def test_a_target_with_wide_columns_fails_when_flattened(
    pipeline: Pipeline, sandbox: Sandbox
) -> None:
    done = pipeline.try_to_load(
        sandbox, flattening_enabled=True, flattening_max_depth=3
    )
    assert done.target_code != 0
    assert "(1118, 'Row size too large." in done.errors
    assert done.state is None
