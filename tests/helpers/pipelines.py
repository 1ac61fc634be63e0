"""`tap-akuity --config … --state … | target-… --config …`, as a shell runs it."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from harness.processes import inherited, started
from tests.helpers.commands import TAP, write
from tests.helpers.environments import commands_of

_FOREIGN_SETTINGS = ("MELTANO_", "TAP_AKUITY_", "TARGET_", "PG")
_RECORD_COUNT = re.compile(r'"metric":"record_count","value":(\d+)')


class Run(NamedTuple):
    """How a pipeline ended."""

    code: int
    read: int
    """How many records the tap says it wrote."""

    state: dict[str, Any] | None
    """The last state that the target passed on."""

    errors: str


def load(warehouse, config, state=None, catalog=None, *, tap=TAP, commands=None) -> Run:
    """Run the tap into a target, which must succeed."""
    done = try_to_load(warehouse, config, state, catalog, tap=tap, commands=commands)
    assert done.code == 0, done.errors
    return done


def try_to_load(
    warehouse, config, state=None, catalog=None, *, tap=TAP, commands=None
) -> Run:
    """Run the tap into a target, and leave no process behind."""
    folder: Path = warehouse.folder
    commands = commands or commands_of(type(warehouse))
    files = {"config": config, "state": state, "catalog": catalog}
    tap_command = [str(tap)]
    for name, content in files.items():
        if content is not None:
            path = write(folder / f"tap-{name}.json", content)
            tap_command += [f"--{name}", str(path)]
    path = write(folder / "target-config.json", warehouse.settings())
    target_command = ["env"]
    target_command += [f"{name}={text}" for name, text in warehouse.variables().items()]
    target_command += [str(commands / warehouse.command), "--config", str(path)]
    pipeline = (
        f"{shlex.join(tap_command)} 2>tap.log | "
        f"{shlex.join(target_command)} 2>target.log"
    )
    # target-postgres gives PostgreSQL times with a zone for columns without one, and
    # they become the session's.
    environment = inherited(*_FOREIGN_SETTINGS) | {"TMPDIR": str(folder), "PGTZ": "UTC"}
    bash = ["bash", "-o", "pipefail", "-c", pipeline]
    with started(bash, folder, environment, stderr=subprocess.STDOUT) as process:
        output, _ = process.communicate(timeout=120)
    told = (folder / "tap.log").read_text(encoding="utf-8")
    errors = (folder / "target.log").read_text(encoding="utf-8")
    states = [json.loads(line) for line in output.splitlines()]
    return Run(
        process.returncode,
        sum(map(int, _RECORD_COUNT.findall(told))),
        states[-1] if states else None,
        errors + told,
    )
