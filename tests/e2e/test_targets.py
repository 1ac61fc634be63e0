"""The sandbox, the tap, each target: is every row what the sandbox has?"""

from hashlib import sha256

import pytest

from sandbox.server import Sandbox
from sandbox.truth import differences, flattened, truth
from tests.helpers import history
from tests.helpers.mariadb import MariaDB
from tests.helpers.object_storage import S3Csv, S3Jsonl, S3Parquet
from tests.helpers.pipelines import load
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
)

# The first to ask for a target also waits for its installation.
pytestmark = pytest.mark.timeout(600)

KINDS = (
    Jsonl,
    Csv,
    CsvInBatches,
    DuckDB,
    PostgreSQL,
    PostgreSQLInBatches,
    PipelinewisePostgreSQL,
    S3Jsonl,
    S3Parquet,
    S3Csv,
    MariaDB,
    Elasticsearch,
)


@pytest.fixture
def warehouse(request, tmp_path):
    """Set up the target that the test is for."""
    kind = request.param
    servers = [request.getfixturevalue(kind.server)] if kind.server else []
    return kind(tmp_path, *servers)


def into(*kinds):
    """Run a test for each of these targets."""
    return pytest.mark.parametrize(
        "warehouse", kinds, indirect=True, ids=lambda kind: kind.__name__
    )


def config(sandbox, warehouse, **settings):
    return config_for(sandbox, **warehouse.tap, **settings)


@into(*KINDS)
def test_every_event_and_every_field(warehouse, sandbox):
    before = truth(sandbox)
    first = load(warehouse, config(sandbox, warehouse))
    assert first.read == len(before)
    assert warehouse.problems(before) == []
    assert bookmark(first.state) == history.NEWEST

    history.meanwhile(sandbox)
    after = truth(sandbox)
    second = load(warehouse, config(sandbox, warehouse), first.state)
    changed = {name for name, row in after.items() if before.get(name) != row}
    # Those added, the one that came late, and the one that was seen again.
    assert len(changed) == history.RECENT - history.KNOWN + 2
    assert len(changed) < second.read < len(before)

    if not warehouse.updates:
        after = {name: before.get(name, row) for name, row in after.items()}
    rows = warehouse.rows()
    if not warehouse.upserts:
        assert len(rows) == first.read + second.read
        rows = {row["id"]: row for row in rows}.values()
    assert warehouse.problems(after, rows) == []


def test_the_comparison_notices():
    row = {"id": "a", "count": 1, "actor": {"id": "e\u0301"}}
    assert differences({"a": row}, [row]) == []
    for change in ({"count": None}, {"actor": {"id": "é"}}, {"more": None}):
        assert len(differences({"a": row}, [row | change])) == 1, change
    assert differences({"a": row}, [row, row]) == ["a is there twice"]
    other = differences({"a": row}, [row | {"id": "b"}])
    assert other == ["b is none of the sandbox's", "a is missing"]


FLATTENED = {"flattening_enabled": True, "flattening_max_depth": 3}

# The recipes of docs/recipes.md, together.
MAPPED = {
    "stream_map_config": {"salt": "of the tests"},
    "stream_maps": {
        "audit_logs": {
            "__filter__": "((object or {}).get('type') or '') != 'k8s_resource'",
            "actor": (
                "actor and {'id': actor.get('id'), 'type': actor.get('type'), "
                "'origin': actor.get('origin'), 'ip': "
                "actor.get('ip') and sha256(config['salt'] + actor['ip'])}"
            ),
        }
    },
}


def mapped(row):
    """Do as `MAPPED` does."""
    if (row["object"] or {}).get("type") == "k8s_resource":
        return None
    if not row["actor"]:
        return row
    actor = {name: row["actor"].get(name) for name in ("id", "type", "origin", "ip")}
    if actor["ip"]:
        actor["ip"] = sha256(f"of the tests{actor['ip']}".encode()).hexdigest()
    return {**row, "actor": actor}


def mapped_and_flattened(row):
    row = mapped(row)
    return row and flattened(row)


@pytest.mark.parametrize(
    ("change", "settings"),
    [(mapped, MAPPED), (mapped_and_flattened, MAPPED | FLATTENED)],
)
@into(Csv, DuckDB, PostgreSQLInBatches)
def test_mapped(warehouse, sandbox, change, settings):
    load(warehouse, config(sandbox, warehouse, **settings))
    rows = {name: change(row) for name, row in truth(sandbox).items()}
    expected = {name: row for name, row in rows.items() if row}
    assert 0 < len(expected) < len(rows)
    assert warehouse.problems(expected) == []


@into(Csv, Jsonl, DuckDB, PostgreSQL)
def test_what_akuity_may_add_one_day(warehouse):
    *known, newest = history.before()[-20:]
    actor = {"type": "user", "team": ["a", {"b": None}]}
    new = newest | {"actor": actor, "reason": {"ticket": 1}}
    refused = isinstance(warehouse, Csv)
    with Sandbox([*known, new]) as sandbox:
        done = load(warehouse, config(sandbox, warehouse), succeeds=not refused)
        expected = truth(sandbox)
    if refused:
        # Nothing is lost: the next run reads all again.
        assert done.state is None
        return
    if warehouse.upserts:
        # No column of its own, since it is not in the schema that the tap sends.
        assert [row.pop("reason", None) for row in expected.values()][-1]
    assert warehouse.problems(expected) == []


@into(MariaDB)
def test_a_target_with_wide_columns_fails_when_flattened(warehouse, sandbox):
    done = load(warehouse, config(sandbox, warehouse, **FLATTENED), succeeds=False)
    assert "(1118, 'Row size too large." in done.errors
    assert done.state is None
