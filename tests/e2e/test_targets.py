"""The sandbox, the tap, each target: is every row what the sandbox has?"""

import pytest

from sandbox.server import Sandbox
from sandbox.truth import flattened, truth
from tests.helpers import history
from tests.helpers.recipes import chosen_by_a_map, combined, hashed
from tests.helpers.running import bookmark, config_for
from tests.helpers.targets import (
    Csv,
    CsvInBatches,
    DuckDB,
    Elasticsearch,
    Jsonl,
    MariaDB,
    PipelinewisePostgreSQL,
    PostgreSQL,
    PostgreSQLInBatches,
    S3Csv,
    S3Jsonl,
    S3Parquet,
    load,
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


HASHED = (chosen_by_a_map, hashed)


@pytest.mark.parametrize("recipes", [HASHED, (*HASHED, flattened)])
@into(Csv, DuckDB, PostgreSQLInBatches)
def test_recipes_together(warehouse, sandbox, recipes):
    settings, change = combined(*recipes)
    load(warehouse, config(sandbox, warehouse, **settings))
    everything = truth(sandbox)
    expected = change(everything)
    assert 0 < len(expected) < len(everything)
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
    flat, _ = combined(flattened)
    done = load(warehouse, config(sandbox, warehouse, **flat), succeeds=False)
    assert "(1118, 'Row size too large." in done.errors
    assert done.state is None
