"""`tap-akuity --config … --state … | target-… --config …`, as a shell runs it."""

import json
import re
import shlex
from typing import Any, NamedTuple

from scripts.processes import inherited, started
from tests.helpers.commands import BIN, write
from tests.helpers.targets import commands_of

_FOREIGN_SETTINGS = ("MELTANO_", "TAP_AKUITY_", "TARGET_", "PG")
_EMITTED = re.compile(r"Sync completed: .* emitted=(\d+) ")


class Run(NamedTuple):
    """What a pipeline did."""

    read: int  # records that the tap wrote, as it says
    state: Any  # the last one that the target passed on
    errors: str


def load(warehouse, config, state=None, *, succeeds=True, commands=None) -> Run:
    """Run the tap into a target, and leave no process behind."""
    folder = warehouse.folder
    tap: list[Any] = [(commands or BIN) / "tap-akuity"]
    tap += ["--config", write(folder / "tap.json", config)]
    if state is not None:
        tap += ["--state", write(folder / "state.json", state)]
    variables = warehouse.variables().items()
    target: list[Any] = ["env", *(f"{name}={text}" for name, text in variables)]
    target += [(commands or commands_of(type(warehouse))) / warehouse.command]
    target += ["--config", write(folder / "target.json", warehouse.settings())]
    first, second = (shlex.join(map(str, command)) for command in (tap, target))
    script = f"{first} 2>tap.log | {second} 2>target.log"
    # target-postgres gives PostgreSQL times with a zone for columns without one, and
    # they become the session's.
    environment = inherited(*_FOREIGN_SETTINGS) | {"TMPDIR": str(folder), "PGTZ": "UTC"}
    bash = ["bash", "-o", "pipefail", "-c", script]
    with started(bash, folder, environment) as process:
        output, _ = process.communicate(timeout=120)
    told = (folder / "tap.log").read_text(encoding="utf-8")
    errors = (folder / "target.log").read_text(encoding="utf-8") + told
    assert (process.returncode == 0) is succeeds, errors
    states = [json.loads(line) for line in output.splitlines()]
    read = sum(map(int, _EMITTED.findall(told)))
    return Run(read, states[-1] if states else None, errors)
