"""The real Airflow, with a home, a database and connections of the tests' own."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
from typing import TYPE_CHECKING, Any

from harness import ROOT
from harness.processes import inherited
from sandbox.timestamps import from_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

AIRFLOW = ROOT / ".venv-airflow" / "bin" / "airflow"
DAGS = ROOT / "examples" / "airflow" / "dags"

COMMAND_SECONDS = 240

_FOREIGN_SETTINGS = ("AIRFLOW", "_AIRFLOW", "AKUITY_", "TAP_AKUITY_", "TARGET_", "PG")


class Airflow:
    """An installation that has loaded the example's DAGs."""

    def __init__(
        self,
        home: Path,
        config: Mapping[str, Any],
        settings: Mapping[str, str],
    ) -> None:
        """Make the home, and in it the database.

        Args:
            home: A folder to make.
            config: What `akuity.json` is to hold.
            settings: More variables of the environment.
        """
        home.mkdir()
        self.home = home
        self._config = dict(config)
        self._path = home / "akuity.json"
        self.change()
        self.environment = inherited(*_FOREIGN_SETTINGS) | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AKUITY_CONFIG": str(self._path),
            "NO_COLOR": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(home),
            **settings,
        }
        self._told = b""
        self.run("db", "migrate")

    def change(self, **members: Any) -> None:
        """Change what `akuity.json` holds."""
        self._config |= members
        self._path.write_text(json.dumps(self._config), encoding="utf-8")

    def connect(self, connections: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep connections, by their names, in Airflow's own database."""
        # Not in the home, where no secret must be found.
        path = self.home.with_suffix(".json")
        path.write_text(json.dumps(connections), encoding="utf-8")
        self.run("connections", "import", "--overwrite", str(path))
        path.unlink()

    def test(self, dag: str, *, succeeds: bool = True) -> str:
        """Run a DAG from its first task to its last, and give what is said."""
        done = self.run("dags", "test", dag, check=False)
        assert (done.returncode == 0) is succeeds, done.stdout + done.stderr
        return done.stdout + done.stderr

    def bookmark(self, state: str) -> int:
        """Give how far a shard has been read."""
        value = json.loads(self.run("variables", "get", state).stdout)
        return from_record(value["bookmarks"]["audit_logs"]["replication_key_value"])

    def labels(self) -> list[str]:
        """Give what Airflow calls the shards."""
        with contextlib.closing(sqlite3.connect(self.home / "airflow.db")) as database:
            rows = database.execute(
                "SELECT rendered_map_index FROM task_instance"
                " WHERE map_index >= 0 ORDER BY map_index"
            ).fetchall()
        return [label for (label,) in rows]

    def places_of(self, texts: Iterable[str]) -> list[str]:
        """Say where in what Airflow wrote and said one of these texts is."""
        contents = {
            str(path.relative_to(self.home)): path.read_bytes()
            for path in self.home.rglob("*")
            if path.is_file()
        }
        contents["what it said"] = self._told
        return [
            place
            for place, content in contents.items()
            if any(text.encode() in content for text in texts)
        ]

    def run(
        self, *arguments: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of Airflow."""
        done = subprocess.run(
            [str(AIRFLOW), *arguments],
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
        self._told += (done.stdout + done.stderr).encode()
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done
