"""The example for Airflow: do its shards and what follows them make up the whole?"""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from sandbox.data import Dataset
from sandbox.faults import Faults, Plan
from sandbox.timestamps import SECOND
from tests.helpers import history, workers
from tests.helpers.airflow import AIRFLOW, Airflow
from tests.helpers.commands import TAP
from tests.helpers.environments import commands_of
from tests.helpers.pipelines import run
from tests.helpers.running import config_for, organization
from tests.helpers.targets import PostgreSQL
from tests.helpers.truth import differences, truth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sandbox.server import Sandbox
    from tests.helpers.postgres import Postgres
    from tests.helpers.truth import Row

# Each command of Airflow takes seconds to start.
pytestmark = pytest.mark.timeout(600)

STARTS = {"first": "2025-07-15", "second": "2025-09-15"}
END = "2025-11-01"

LABELS = [
    "first 2025-07-15 to 2025-08-01",
    "first 2025-08-01 to 2025-09-01",
    "first 2025-09-01 to 2025-10-01",
    "first 2025-10-01 to 2025-11-01",
    "second 2025-09-15 to 2025-10-01",
    "second 2025-10-01 to 2025-11-01",
]

MEET = 14
"""Requests that go well before a fault: enough for one window of the second's two."""

PASSWORD = "s3cr3t-of-the-database"
WRONG = "s3cr3t-but-wrong"

_READ = re.compile(r'tap-akuity: .*"metric":"record_count","value":(\d+)')


@pytest.fixture(autouse=True, scope="module")
def _installed() -> None:
    if not AIRFLOW.exists():
        pytest.fail(
            "Airflow is not installed here: run `make test-airflow`.", pytrace=False
        )


class Company(NamedTuple):
    """Two organizations, and an Airflow that loads them into one table."""

    airflow: Airflow
    sandboxes: list[Sandbox]
    table: PostgreSQL

    def truth(self, *, past: bool) -> dict[str, Row]:
        """Give the rows that should be there, only those of the backfill if `past`."""
        return {
            name: row
            for sandbox in self.sandboxes
            for name, row in truth(sandbox).items()
            if not past or row["timestamp"] < history.END
        }

    def problems(self, rows: dict[str, Row]) -> list[str]:
        """Say how the table differs from these rows."""
        expected = {name: self.table.stored(row) for name, row in rows.items()}
        return differences(expected, self.table.rows())

    def loaded(self) -> set[str]:
        """Give the ids that are in the table."""
        return {str(row["id"]) for row in self.table.rows()}

    def leaks(self) -> list[str]:
        """Say where a secret is that should not be there."""
        keys = [sandbox.api_key_secret for sandbox in self.sandboxes]
        ids = [sandbox.api_key_id for sandbox in self.sandboxes]
        found = self.airflow.places_of([*keys, PASSWORD, WRONG])
        # Airflow encrypts passwords, but keeps logins as they are.
        places = self.airflow.places_of(ids)
        assert "airflow.db" in places
        return found + [one for one in places if not one.startswith("airflow.db")]


def key(sandbox: Sandbox, secret: str | None = None) -> dict[str, dict[str, str]]:
    """Give the key of an organization as a connection."""
    connection = {
        "conn_type": "generic",
        "host": sandbox.url,
        "login": sandbox.api_key_id,
        "password": secret or sandbox.api_key_secret,
    }
    return {sandbox.organization_id: connection}


@pytest.fixture
def company(tmp_path: Path, postgres: Postgres) -> Iterator[Company]:
    """Make the first organization, and a larger one with a month of events."""
    with company_with({}, {}, tmp_path, postgres) as made:
        yield made


@contextlib.contextmanager
def company_with(
    airflow_settings: Mapping[str, str],
    target_settings: Mapping[str, Any],
    tmp_path: Path,
    postgres: Postgres,
) -> Iterator[Company]:
    """Make a company whose Airflow and target have more settings."""
    commands = commands_of(PostgreSQL)
    table = PostgreSQL(tmp_path, postgres)
    settings = table.settings()
    schema = settings["default_target_schema"]
    recent = Dataset(12_000, seed=2, until=history.UNTIL, days=31, distribution="even")
    airflow = Airflow(
        tmp_path / "airflow",
        {
            "tap": TAP,
            "target": str(commands / PostgreSQL.command),
            "target_connection": "warehouse",
            "target_settings": {
                "default_target_schema": schema,
                "add_record_metadata": False,
                **target_settings,
            },
            "retries": 0,
            "organizations": {
                name: {
                    "connection": name,
                    "start": start,
                    "end": END,
                    "settings": {
                        "organization_id": name,
                        "max_retries": 0,
                        "page_size": 1000,
                        "concurrency": 1,
                    },
                }
                for name, start in STARTS.items()
            },
        },
        airflow_settings,
    )
    warehouse = {**postgres.connection(), "password": PASSWORD}
    with (
        organization("first", history.before()) as first,
        organization("second", recent) as second,
    ):
        airflow.connect({"warehouse": warehouse, **key(first), **key(second)})
        yield Company(airflow, [first, second], table)


def read(said: str) -> int:
    """Count the records that the tap wrote, as it says."""
    return sum(map(int, _READ.findall(said)))


def single_run(sandbox: Sandbox, folder: Path, postgres: Postgres) -> list[Row]:
    """Give the rows of an organization when one run reads all of the same range."""
    table = PostgreSQL(folder, postgres)
    name = sandbox.organization_id
    config = config_for(sandbox, start_date=STARTS[name], end_date=END)
    done = run(commands_of(PostgreSQL), table, folder, config)
    assert (done.tap_code, done.target_code) == (0, 0), done.errors
    return table.rows()


def by_id(rows: list[Row]) -> list[Row]:
    """Bring rows into an order."""
    return sorted(rows, key=lambda row: str(row["id"]))


def test_the_shards_are_what_one_run_gives_and_the_schedule_goes_on(
    company: Company, tmp_path: Path, postgres: Postgres, summary: list[str]
) -> None:
    airflow, sandboxes = company.airflow, company.sandboxes
    assert "No data found" in airflow.run("dags", "list-import-errors").stdout

    past = company.truth(past=True)
    said = airflow.test("akuity_backfill")
    # Each event was read by one shard, and by no other.
    assert read(said) == len(past)
    assert company.problems(past) == []
    assert airflow.labels() == LABELS
    alone = [single_run(sandbox, tmp_path, postgres) for sandbox in sandboxes]
    assert by_id(company.table.rows()) == by_id([row for rows in alone for row in rows])

    new = {}
    for sandbox in sandboxes:
        if sandbox.organization_id == "first":
            history.meanwhile(sandbox)
        else:
            sandbox.state.happen(20)
        new = {
            name: row
            for name, row in truth(sandbox).items()
            if row["timestamp"] >= history.END
        }
        dag = f"akuity_incremental_{sandbox.organization_id}"
        # It reads what the backfill has not, although there is no state yet.
        assert read(airflow.test(dag)) == len(new)
        assert len(new) >= 20
        # From now on it begins at its own state.
        newest = max(row["timestamp"] for row in new.values())
        again = [
            row for row in new.values() if row["timestamp"] >= newest - 300 * SECOND
        ]
        assert read(airflow.test(dag)) == len(again) < len(new)
    everything = company.truth(past=False)
    assert company.problems(everything) == []
    assert company.leaks() == []
    summary.append(
        f"{'Airflow, two organizations in 6 shards':70} {len(past)} rows loaded, "
        f"{len(everything)} after the schedules, all compared"
    )


def test_a_shard_that_fails_goes_on_where_it_was(company: Company) -> None:
    airflow, (first, second) = company.airflow, company.sandboxes
    past = company.truth(past=True)
    of_first = {name for name in past if past[name]["organization_id"] == "first"}
    of_second = past.keys() - of_first

    airflow.connect(key(second, WRONG))
    said = airflow.test("akuity_backfill", succeeds=False)
    assert "Akuity refused the API key" in said
    assert read(said) == len(of_first)
    assert company.problems({name: past[name] for name in of_first}) == []

    airflow.connect(key(second))
    second.state.faults = Faults(Plan(kinds=("500",), after=MEET))
    said = airflow.test("akuity_backfill", succeeds=False)
    assert "Akuity is having trouble" in said
    rows = company.table.rows()
    loaded = {row["id"] for row in rows}
    assert of_first < loaded < past.keys()
    # What the state says is read is there.
    reached = airflow.bookmark("akuity_state.second.2025-10-01.2025-11-01")
    before = {name for name in of_second if past[name]["timestamp"] <= reached}
    assert before
    assert before <= loaded

    second.state.faults = Faults()
    first.state.stats.reset()
    said = airflow.test("akuity_backfill")
    assert company.problems(past) == []
    left = len(of_second - before)
    assert left <= read(said) < len(of_second)
    # A shard that is done costs a request or two.
    assert first.state.stats.requests <= 2 * len(LABELS)
    assert company.leaks() == []


def test_a_task_is_tried_again_by_itself(company: Company) -> None:
    airflow, (_, second) = company.airflow, company.sandboxes
    airflow.change(retries=2, retry_delay_seconds=0.1)
    second.state.faults = Faults(Plan(kinds=("500",), after=MEET, times=1))
    said = airflow.test("akuity_backfill")
    assert "Akuity is having trouble" in said
    assert second.state.stats.faults == {"500": 1}
    assert company.problems(company.truth(past=True)) == []


def test_a_worker_that_is_killed(
    tmp_path: Path, postgres: Postgres, summary: list[str]
) -> None:
    postgres.ask("CREATE DATABASE airflow")
    settings = workers.settings(tmp_path, postgres)
    scheduled = postgres.database("airflow")
    small = {"batch_size_rows": 2_000}
    with company_with(settings, small, tmp_path, postgres) as company:
        airflow, (first, second) = company.airflow, company.sandboxes
        airflow.change(retries=3, retry_delay_seconds=0.1, shards_at_a_time=2)
        past = company.truth(past=True)
        with workers.running(airflow, tmp_path) as both:
            airflow.run("dags", "unpause", "akuity_backfill")
            airflow.run("dags", "trigger", "akuity_backfill")

            # Stopped in the middle: the first rows of the larger shard are loaded.
            of_first = truth(first).keys()
            asked, options = second.state.stats, second.state.options
            workers.wait(lambda: asked.requests >= MEET, "the larger shard")
            second.state.options = replace(options, latency_seconds=30)
            workers.wait(lambda: bool(company.loaded() - of_first), "its first rows")
            (victim,) = [one for one in both if one.reads("second")]
            victim.kill()
            second.state.options = options
            loaded = company.loaded()
            assert loaded < past.keys()

            end = "SELECT state FROM dag_run WHERE state IN ('success', 'failed')"
            workers.wait(lambda: bool(scheduled.ask(end)), "the end", 300)
            assert scheduled.ask(end) == ["success"]
            assert not victim.tree()
        said = [(airflow.home / f"{one.name}.out").read_text("utf-8") for one in both]
        assert all(" received" in text for text in said)
        secrets = [
            text
            for one in company.sandboxes
            for text in (one.api_key_id, one.api_key_secret)
        ]
        assert airflow.places_of([*secrets, PASSWORD]) == []
        alone = [single_run(one, tmp_path, postgres) for one in company.sandboxes]
    assert company.problems(past) == []
    assert by_id(company.table.rows()) == by_id([row for rows in alone for row in rows])
    attempts = scheduled.ask(
        "SELECT rendered_map_index || ', attempt ' || try_number FROM task_instance"
        " WHERE task_id = 'load' AND dag_id = 'akuity_backfill' ORDER BY map_index"
    )
    *others, last = LABELS
    assert attempts == [*(f"{one}, attempt 1" for one in others), f"{last}, attempt 2"]
    summary.append(
        f"{'Airflow, two workers, of which one was killed':70} {len(loaded)} rows "
        f"loaded when it was, {len(past)} in the end, all compared"
    )
