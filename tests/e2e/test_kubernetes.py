"""What the pods of `examples/kubernetes` run, killed as a kubelet kills them.

The image is not built and there is no cluster: `tests/helpers/container.py` says what
stands for them.
"""

import contextlib
import os
import shutil
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from sandbox.data import Dataset
from sandbox.server import Sandbox
from sandbox.state import Options
from sandbox.timestamps import from_record
from sandbox.truth import truth
from scripts import ROOT
from tests.helpers import container
from tests.helpers.commands import write
from tests.helpers.history import since
from tests.helpers.projects import as_variables, read_yaml, records_read
from tests.helpers.running import config_for
from tests.helpers.targets import Audit, DuckDB

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not container.BWRAP,
        reason="the pods of examples/kubernetes are not tested: install bubblewrap",
    ),
]

FOLDER = ROOT / "examples" / "kubernetes"
JOB = read_yaml(FOLDER / "backfill" / "job.yaml")["spec"]
POD = read_yaml(FOLDER / "base" / "cronjob.yaml")["spec"]["jobTemplate"]["spec"]
STATE = "prod:tap-akuity-to-target-postgres"
UNTIL = datetime(2026, 1, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def stages():
    return container.build()


@pytest.fixture
def table(postgres, tmp_path):
    """Return an empty table, in a database with a time zone of its own."""
    postgres.ask("DROP SCHEMA public CASCADE")
    postgres.ask("CREATE SCHEMA public")
    postgres.ask("ALTER DATABASE postgres SET timezone = 'America/New_York'")
    yield Audit(tmp_path, postgres)
    postgres.ask("ALTER DATABASE postgres RESET timezone")


@pytest.fixture
def pod(stages, postgres, tmp_path):
    """Return a function that starts a pod with Meltano, with empty volumes."""
    (folder,) = parse_qs(urlsplit(postgres.uri).query)["host"]
    database = "postgresql+psycopg://postgres:p%40ss%25@/postgres?host=/run"

    def start(sandbox, job=POD, changed=None, **variables):
        name = f"pod-{len([*tmp_path.iterdir()])}"
        (tmp_path / name).mkdir()
        secret = as_variables(config_for(sandbox, start_date=None, max_retries=None))
        spec = job["template"]["spec"]
        return container.run(
            stages["meltano"],
            spec | {"containers": [spec["containers"][0] | (changed or {})]},
            tmp_path / name,
            secret | {"DATABASE_URL": database} | variables,
            Path(folder) / ".s.PGSQL.5432",
        )

    return start


def finish(running, code=0):
    """Wait for the end of a pod, and return its log."""
    log, _ = running.process.communicate(timeout=300)
    assert running.process.returncode == code, log
    return log


def test_what_stands_for_a_container_is_as_strict(pod, sandbox):
    script = """
        test "$$" = 1 && test "$(id -u):$(id -g)" = 10001:10001
        touch /tmp/x /project/.meltano/run/x
        for path in / /etc /opt/meltano /project /project/.meltano; do
          ! touch "$path/x" || exit 1
        done
        ! grep 'Cap[IPE].*:.*[1-9a-f]' /proc/self/status || exit 1
        ! env | grep -Ev '^(DATABASE_URL|HOME|PATH|PG|PWD|SHLVL|TAP_|_)' || exit 1
    """
    command = ["bash", "-euc", script]
    with pod(sandbox, changed={"command": command, "args": []}) as running:
        finish(running)


def test_killed_and_resumed(pod, table, postgres):
    data = [*Dataset(9_000, seed=3, until=UNTIL, days=19, distribution="even")]
    settings = {"lookback_seconds": 0, "page_size": 500, "concurrency": 1}
    variables = as_variables(settings) | {"TARGET_POSTGRES_BATCH_SIZE_ROWS": "1300"}
    grace = POD["template"]["spec"]["terminationGracePeriodSeconds"]
    with Sandbox(data[:2_000]) as sandbox:
        with pod(sandbox, **variables) as running:
            finish(running)
        until = reached(postgres)
        sandbox.store.add(data[2_000:])
        sandbox.state.options = Options(latency_seconds=0.1)
        expected = truth(sandbox)
        for number, code, rows in (
            (signal.SIGTERM, 143, 3_000),
            (signal.SIGKILL, 137, 6_000),
        ):
            with pod(sandbox, **variables) as running:
                while len(postgres.ask("SELECT 1 FROM akuity.audit_logs")) < rows:
                    assert running.process.poll() is None, finish(running)
                    time.sleep(0.2)
                os.kill(running.pid, number)
                running.process.wait(grace / 2)
                finish(running, code)
            loaded = table.rows()
            assert rows <= len(loaded) < len(expected)
            assert reached(postgres) == until
            missing = expected.keys() - {row["id"] for row in loaded}
            assert all(expected[one]["timestamp"] > until for one in missing)

        # Nothing told Meltano that the last run is no more. It stands in the way until
        # nothing has been heard of it for five minutes. The Job's retries take longer.
        waits = sum(min(10 * 2**retry, 360) for retry in range(POD["backoffLimit"] - 1))
        pass_by(postgres, 280)
        with pod(sandbox, **variables) as running:
            said = finish(running, 1)[-2048:]
            assert f"Another '{STATE}' pipeline is already running" in said
        pass_by(postgres, waits - 280)
        sandbox.state.options = Options()
        with pod(sandbox, **variables) as running:
            assert records_read(finish(running)) == since(expected, until)
    assert table.problems(expected) == []


def pass_by(postgres, seconds):
    """Let time pass for the run that was killed."""
    postgres.ask(
        "UPDATE runs SET last_heartbeat_at = last_heartbeat_at"  # noqa: S608
        f" - INTERVAL '{seconds} seconds' WHERE state = 'RUNNING'"
    )


def reached(postgres):
    """Return up to when all is loaded, as the state in the database has it."""
    value = "::json #>> '{singer_state,bookmarks,audit_logs,replication_key_value}'"
    found = postgres.ask(
        f"SELECT greatest(partial_state{value}, completed_state{value})"  # noqa: S608
        f" FROM state WHERE state_id = '{STATE}'"
    )
    return max((from_record(text) for text in found if text), default=0)


def test_the_indexed_job(pod, table):
    data = Dataset(3_000, seed=4, until=UNTIL, days=205, distribution="even")
    with Sandbox(data) as sandbox, contextlib.ExitStack() as stack:
        with pod(sandbox) as running:
            read = [records_read(finish(running))]
        for first in range(0, JOB["completions"], JOB["parallelism"]):
            shards = [
                stack.enter_context(pod(sandbox, JOB, JOB_COMPLETION_INDEX=str(index)))
                for index in range(first, first + JOB["parallelism"])
            ]
            read += [records_read(finish(shard)) for shard in shards]
        expected = truth(sandbox)
        start = from_record("2025-07-01T00:00:00Z")
        expected = {
            one: row for one, row in expected.items() if row["timestamp"] >= start
        }
        assert data.records > len(expected) == sum(read)
        assert min(read) > 0
        assert table.problems(expected) == []
        # A shard that is run again reads little, and changes nothing.
        with pod(sandbox, JOB, JOB_COMPLETION_INDEX="3") as running:
            assert records_read(finish(running)) < read[4]
        assert table.problems(expected) == []


@pytest.mark.usefixtures("table")
def test_the_termination_message(pod):
    with Sandbox(Dataset(10)) as sandbox:
        with pod(sandbox, TAP_AKUITY_API_KEY_SECRET="wr0ng") as running:
            log = finish(running, 1)
        # As much as a kubelet takes from the end of a log.
        assert "Akuity refused the API key" in "\n".join(log.splitlines()[-80:])[-2048:]
        assert not [secret for secret in ("wr0ng", "p@ss", "p%40ss") if secret in log]


def test_sync_on_a_volume(stages, tmp_path):
    data = Dataset(3_000, seed=5, until=UNTIL, days=19, distribution="even")
    patch = read_yaml(FOLDER / "volume" / "cronjob.yaml")["spec"]["jobTemplate"]["spec"]
    (changes,) = patch["template"]["spec"]["containers"]
    spec = POD["template"]["spec"]
    mounts = [one for one in changes["volumeMounts"] if "mountPath" in one]
    load = spec["containers"][0] | changes | {"volumeMounts": mounts}

    def start():
        pod = spec | {"containers": [load]}
        return container.run(stages["sync"], pod, tmp_path, {})

    with Sandbox(data, options=Options(latency_seconds=0.2)) as sandbox:
        (tmp_path / "config").mkdir()
        config = config_for(sandbox, concurrency=1)
        write(tmp_path / "config" / "config.json", config)
        with start() as running:
            while sandbox.state.stats.requests < 3:
                assert running.process.poll() is None, finish(running)
                time.sleep(0.01)
            os.kill(running.pid, signal.SIGKILL)
            finish(running, 137)
        for _ in range(2):
            with start() as running:
                finish(running)
        shutil.copy(tmp_path / "audit" / "audit.duckdb", tmp_path)
        assert DuckDB(tmp_path).problems(truth(sandbox)) == []
