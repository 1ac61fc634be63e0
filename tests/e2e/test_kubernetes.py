"""What the pods of `examples/kubernetes` run, killed as a kubelet kills them.

The image is not built and there is no cluster: `tests/helpers/container.py` says what
stands for them.
"""

import contextlib
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
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        not container.BWRAP,
        reason="the pods of examples/kubernetes are not tested: install bubblewrap",
    ),
]

FOLDER = ROOT / "examples" / "kubernetes"
JOB = read_yaml(FOLDER / "backfill" / "job.yaml")["spec"]
SCHEDULED = read_yaml(FOLDER / "base" / "cronjob.yaml")["spec"]["jobTemplate"]["spec"]
POD, SHARD = (one["template"]["spec"] for one in (SCHEDULED, JOB))
STATE = "prod:tap-akuity-to-target-postgres"
UNTIL = datetime(2026, 1, 20, tzinfo=UTC)


def made_of(pod, **changed):
    """Return a pod whose container differs."""
    return pod | {"containers": [pod["containers"][0] | changed]}


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    return container.build(tmp_path_factory.mktemp("image"))


@pytest.fixture
def table(postgres, tmp_path):
    """Return an empty table, in a database with a time zone of its own."""
    postgres.ask("DROP SCHEMA public CASCADE")
    postgres.ask("CREATE SCHEMA public")
    postgres.ask("ALTER DATABASE postgres SET timezone = 'America/New_York'")
    yield Audit(tmp_path, postgres)
    postgres.ask("ALTER DATABASE postgres RESET timezone")


@pytest.fixture
def start(stages, postgres, tmp_path):
    """Return a function that starts a pod with Meltano, with empty volumes."""
    (folder,) = parse_qs(urlsplit(postgres.uri).query)["host"]
    database = "postgresql+psycopg://postgres:p%40ss%25@/postgres?host=/run"

    def start(sandbox, pod=POD, **variables):
        volumes = tmp_path / f"pod-{len([*tmp_path.iterdir()])}"
        volumes.mkdir()
        secret = as_variables(config_for(sandbox, start_date=None, max_retries=None))
        given = secret | {"DATABASE_URL": database} | variables
        socket = Path(folder) / ".s.PGSQL.5432"
        return container.run(stages["meltano"], pod, volumes, given, socket)

    return start


def finish(pod, code=0):
    """Wait for the end of a pod, and return its log."""
    log, _ = pod.communicate(timeout=300)
    assert pod.returncode == code, log
    return log


def kill_when(is_so, pod, number, code):
    """Kill the first process of a pod as soon as something is so."""
    while not is_so():
        assert pod.poll() is None, finish(pod)
        time.sleep(0.05)
    container.kill(pod, number)
    pod.wait(POD["terminationGracePeriodSeconds"] / 2)
    finish(pod, code)


def test_what_stands_for_a_container_is_as_strict(start, sandbox):
    script = r"""
        test "$$" = 1
        test "$(id -u):$(id -g)" = 10001:10001
        touch /tmp/x /project/.meltano/run/x
        writable=$(awk '$4 ~ /^rw/ && $2 !~ /^.(dev|proc|run)/ {print $2}' /proc/mounts)
        test "$(echo "$writable" | sort -u | xargs)" = "/project/.meltano/run /tmp"
        ! grep 'Cap[IPE].*:.*[1-9a-f]' /proc/self/status || exit 1
        ! env | grep -Ev '^(DATABASE_URL|HOME|PATH|PG|PWD|SHLVL|TAP_|_)' || exit 1
    """
    strict = made_of(POD, command=["bash", "-euc", script], args=[])
    with start(sandbox, strict) as pod:
        finish(pod)


def test_killed_and_resumed(start, table, postgres):
    data = [*Dataset(9_000, seed=3, until=UNTIL, days=19, distribution="even")]
    settings = {"lookback_seconds": 0, "page_size": 500, "concurrency": 1}
    variables = as_variables(settings) | {"TARGET_POSTGRES_BATCH_SIZE_ROWS": "1300"}
    with Sandbox(data[:2_000]) as sandbox:
        with start(sandbox, **variables) as pod:
            finish(pod)
        until = reached(postgres)
        sandbox.store.add(data[2_000:])
        sandbox.state.options = Options(latency_seconds=0.1)
        expected = truth(sandbox)
        for number, code, rows in (
            (signal.SIGTERM, 143, 3_000),
            (signal.SIGKILL, 137, 6_000),
        ):
            with start(sandbox, **variables) as pod:
                kill_when(
                    lambda rows=rows: len(table.rows()) >= rows, pod, number, code
                )
            loaded = {row["id"] for row in table.rows()}
            assert rows <= len(loaded) < len(expected)
            assert reached(postgres) == until
            missing = expected.keys() - loaded
            assert all(expected[one]["timestamp"] > until for one in missing)

        # Nothing told Meltano that the last run is no more. It stands in the way until
        # nothing has been heard of it for five minutes. The Job's retries take longer.
        retries = range(SCHEDULED["backoffLimit"] - 1)
        waits = sum(min(10 * 2**retry, 360) for retry in retries)
        pass_by(postgres, 280)
        with start(sandbox, **variables) as pod:
            said = finish(pod, 1)[-2048:]
            assert f"Another '{STATE}' pipeline is already running" in said
        pass_by(postgres, waits - 280)
        sandbox.state.options = Options()
        with start(sandbox, **variables) as pod:
            assert records_read(finish(pod)) == since(expected, until)
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


def test_the_shards_of_the_job_and_the_schedule_make_up_the_whole(start, table):
    data = Dataset(3_000, seed=4, until=UNTIL, days=205, distribution="even")
    with Sandbox(data) as sandbox, contextlib.ExitStack() as stack:
        with start(sandbox) as pod:
            read = [records_read(finish(pod))]
        for first in range(0, JOB["completions"], JOB["parallelism"]):
            indices = range(first, first + JOB["parallelism"])
            pods = [start(sandbox, SHARD, JOB_COMPLETION_INDEX=f"{n}") for n in indices]
            shards = [stack.enter_context(one) for one in pods]
            read += [records_read(finish(shard)) for shard in shards]
        begin = from_record("2025-07-01T00:00:00Z")
        everything = truth(sandbox).items()
        expected = {one: row for one, row in everything if row["timestamp"] >= begin}
        assert data.records > len(expected) == sum(read)
        assert min(read) > 0
        assert table.problems(expected) == []
        # A shard that is run again reads little, and changes nothing.
        with start(sandbox, SHARD, JOB_COMPLETION_INDEX="3") as pod:
            assert records_read(finish(pod)) < read[4]
        assert table.problems(expected) == []


@pytest.mark.usefixtures("table")
def test_the_termination_message_says_why_without_a_secret(start):
    with Sandbox(Dataset(10)) as sandbox:
        with start(sandbox, TAP_AKUITY_API_KEY_SECRET="wr0ng") as pod:
            log = finish(pod, 1)
        # As much as a kubelet takes from the end of a log.
        assert "Akuity refused the API key" in "\n".join(log.splitlines()[-80:])[-2048:]
        assert not [secret for secret in ("wr0ng", "p@ss", "p%40ss") if secret in log]


def test_sync_on_a_volume_is_killed_and_resumed(stages, tmp_path):
    data = Dataset(3_000, seed=5, until=UNTIL, days=19, distribution="even")
    patch = read_yaml(FOLDER / "volume" / "cronjob.yaml")["spec"]["jobTemplate"]["spec"]
    (changes,) = patch["template"]["spec"]["containers"]
    mounts = [one for one in changes["volumeMounts"] if "mountPath" in one]
    spec = made_of(POD, **changes | {"volumeMounts": mounts})

    def start():
        return container.run(stages["sync"], spec, tmp_path, {})

    with Sandbox(data, options=Options(latency_seconds=0.2)) as sandbox:
        (tmp_path / "config").mkdir()
        config = config_for(sandbox, concurrency=1)
        write(tmp_path / "config" / "config.json", config)
        asked = sandbox.state.stats
        with start() as pod:
            kill_when(lambda: asked.requests >= 3, pod, signal.SIGKILL, 137)
        for _ in range(2):
            with start() as pod:
                finish(pod)
        shutil.copy(tmp_path / "audit" / "audit.duckdb", tmp_path)
        assert DuckDB(tmp_path).problems(truth(sandbox)) == []
