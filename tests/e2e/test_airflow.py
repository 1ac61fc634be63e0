"""The example for Airflow: do its shards and what follows them make up the whole?"""

import re
from dataclasses import replace

import pytest

from sandbox.data import Dataset
from sandbox.faults import Faults, Plan
from sandbox.truth import truth
from tests.helpers import history
from tests.helpers.airflow import Airflow, running, wait, with_workers
from tests.helpers.commands import TAP
from tests.helpers.running import organization
from tests.helpers.targets import PostgreSQL, commands_of

# Each command of Airflow takes seconds to start.
pytestmark = pytest.mark.timeout(1800)

START, END = "2025-09-15", "2025-11-01"

SHARDS = [
    f"{name} {start} to {end}"
    for name in ("first", "second")
    for start, end in ((START, "2025-10-01"), ("2025-10-01", END))
]

MEET = 14
"""Requests that go well before a fault: enough for one window of the second's two."""

PASSWORD = "s3cr3t-of-the-database"
WRONG = "s3cr3t-but-wrong"


class Company:
    """Two organizations, and an Airflow that loads them into one table."""

    def __init__(self, folder, postgres, sandboxes, settings, **config):
        self.sandboxes = sandboxes
        self.table = PostgreSQL(folder, postgres)
        schema = self.table.settings()["default_target_schema"]
        target = {"default_target_schema": schema, "add_record_metadata": False}
        config = {
            "tap": TAP,
            "target": str(commands_of(PostgreSQL) / PostgreSQL.command),
            "target_connection": "warehouse",
            # More than one load in each window of the tap.
            "target_settings": target | {"batch_size_rows": 2_000},
            "organizations": {
                name: {
                    "connection": name,
                    "start": START,
                    "end": END,
                    "settings": {
                        "organization_id": name,
                        "max_retries": 0,
                        "page_size": 1000,
                        "concurrency": 1,
                    },
                }
                for name in ("first", "second")
            },
            **config,
        }
        self.airflow = Airflow(folder / "airflow", config, settings)
        self.warehouse = {**postgres.connection(), "password": PASSWORD}

    def connect(self, *keys):
        """Give Airflow the key of each organization."""
        connections = {
            sandbox.organization_id: {
                "conn_type": "generic",
                "host": sandbox.url,
                "login": sandbox.api_key_id,
                "password": secret,
            }
            for sandbox, secret in zip(self.sandboxes, keys, strict=True)
        }
        self.airflow.connect(warehouse=self.warehouse, **connections)

    def truth(self):
        """Return the rows that should be there."""
        first, second = self.sandboxes
        return truth(first) | truth(second)

    def loaded(self):
        return {row["id"] for row in self.table.rows()}

    def read(self, dag, **options):
        """Run a DAG, and return what it said, and how many records the tap wrote."""
        said = self.airflow.run("dags", "test", dag, **options)
        counts = re.findall(r"tap-akuity: .*Sync completed: .* emitted=(\d+) ", said)
        return said, sum(map(int, counts))

    def leaks(self):
        """Return the files that have a secret."""
        keys = [sandbox.api_key_secret for sandbox in self.sandboxes]
        ids = [sandbox.api_key_id for sandbox in self.sandboxes]
        # Airflow encrypts passwords in its database, but keeps logins as they are.
        places = self.airflow.places_of(*ids)
        places = [name for name in places if not name.startswith("airflow.db")]
        return places + self.airflow.places_of(*keys, PASSWORD, WRONG)


@pytest.fixture
def sandboxes():
    """Serve an organization, and a larger one with a month of events."""
    small = Dataset(1_500, seed=1, until=history.UNTIL, days=45)
    large = Dataset(12_000, seed=2, until=history.UNTIL, days=31, distribution="even")
    with organization("first", small) as first, organization("second", large) as second:
        yield first, second


def test_shards_make_up_the_whole_and_the_schedule_continues(
    tmp_path, postgres, sandboxes
):
    company = Company(tmp_path, postgres, sandboxes, {}, retries=0)
    first, second = sandboxes
    past = company.truth()
    of_first = truth(first)
    of_second = len(past) - len(of_first)

    company.connect(first.api_key_secret, WRONG)
    said, read = company.read("akuity_backfill", succeeds=False)
    assert "Akuity refused the API key" in said
    # Each event was read by one shard, and by no other.
    assert read == len(of_first)
    assert company.table.problems(of_first) == []

    company.connect(first.api_key_secret, second.api_key_secret)
    second.state.faults = Faults(Plan(kinds=("500",), after=MEET))
    said, _ = company.read("akuity_backfill", succeeds=False)
    assert "Akuity is having trouble" in said
    loaded = company.loaded()
    assert of_first.keys() < loaded < past.keys()

    # What failed resumes where it stopped; a shard that is done costs a request or two.
    second.state.faults = Faults()
    first.state.stats.reset()
    _, read = company.read("akuity_backfill")
    assert company.table.problems(past) == []
    assert len(past) - len(loaded) <= read < of_second
    assert first.state.stats.requests <= 2 * len(SHARDS)

    for sandbox in sandboxes:
        sandbox.store.add(history.recent())
        moments = [row["timestamp"] for row in truth(sandbox).values()]
        new = [moment for moment in moments if moment >= history.END]
        dag = f"akuity_incremental_{sandbox.organization_id}"
        # It reads what the backfill has not, although there is no state yet.
        assert company.read(dag)[1] == len(new)
        # From now on it begins at its own state.
        again = [moment for moment in new if moment >= max(new) - history.LOOKBACK]
        assert company.read(dag)[1] == len(again) < len(new)
    assert company.table.problems(company.truth()) == []
    assert company.leaks() == []


def test_a_worker_that_is_killed(tmp_path, postgres, sandboxes):
    postgres.ask("CREATE DATABASE airflow")
    scheduled = postgres.database("airflow")
    settings = with_workers(tmp_path, scheduled)
    retries = {"retries": 3, "retry_delay_seconds": 0.1, "shards_at_a_time": 2}
    company = Company(tmp_path, postgres, sandboxes, settings, **retries)
    first, second = sandboxes
    company.connect(first.api_key_secret, second.api_key_secret)
    past, of_first = company.truth(), truth(first).keys()
    with running(company.airflow, tmp_path) as workers:
        company.airflow.run("dags", "unpause", "akuity_backfill")
        company.airflow.run("dags", "trigger", "akuity_backfill")

        # Stopped in the middle: the first rows of the larger shard are loaded.
        asked, options = second.state.stats, second.state.options
        wait(lambda: asked.requests >= MEET, "the larger shard")
        second.state.options = replace(options, latency_seconds=30)
        wait(lambda: bool(company.loaded() - of_first), "its first rows")
        (victim,) = [one for one in workers if one.reads("second")]
        victim.kill()
        second.state.options = options
        assert company.loaded() < past.keys()

        end = "SELECT state FROM dag_run WHERE state IN ('success', 'failed')"
        wait(lambda: bool(scheduled.ask(end)), "the end")
        assert scheduled.ask(end) == ["success"]
        assert victim.tree() == []
    assert company.table.problems(past) == []
    assert company.leaks() == []
    assert {"one.out", "two.out"} <= {*company.airflow.places_of(" received")}
    attempts = scheduled.ask(
        "SELECT rendered_map_index || ', attempt ' || try_number FROM task_instance"
        " WHERE task_id = 'load' AND dag_id = 'akuity_backfill' ORDER BY map_index"
    )
    *others, last = SHARDS
    assert attempts == [*(f"{one}, attempt 1" for one in others), f"{last}, attempt 2"]
