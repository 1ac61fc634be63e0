"""`tap-akuity --config … --state … | target-… --config …`, as a shell runs it."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.processes import inherited, started
from tests.helpers.commands import TAP, write

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.helpers.targets import Warehouse

RUN_SECONDS = 60

_FOREIGN_SETTINGS = ("MELTANO_", "TAP_AKUITY_", "TARGET_", "PG")
_RECORD_COUNT = re.compile(r'"metric":"record_count","value":(\d+)')


class Run(NamedTuple):
    """How a pipeline ended."""

    tap_code: int
    target_code: int
    read: int
    """How many records the tap says it wrote."""

    state: dict[str, Any] | None
    """The last state that the target passed on."""

    errors: str
    """What the target, and then the tap, wrote on stderr."""


def run(  # noqa: PLR0913 - what a shell command would name
    commands: Path,
    warehouse: Warehouse,
    folder: Path,
    config: dict[str, Any],
    *,
    state: dict[str, Any] | None = None,
    catalog: dict[str, Any] | None = None,
    tap_command: str = TAP,
) -> Run:
    """Run the tap into a target.

    Args:
        commands: The folder with the target's commands.
        warehouse: Where to.
        folder: For the files of this run.
        config: The tap's.
        state: The tap's.
        catalog: The tap's.
        tap_command: The tap.

    Returns:
        How it ended, with no process left behind.
    """
    tap = [tap_command, "--config", str(write(folder / "tap.json", config))]
    if state is not None:
        tap += ["--state", str(write(folder / "state.json", state))]
    if catalog is not None:
        tap += ["--catalog", str(write(folder / "catalog.json", catalog))]
    target = [str(commands / warehouse.command), "--config"]
    target += [str(write(folder / "target.json", warehouse.settings()))]
    with (
        (folder / "tap.log").open("w+", encoding="utf-8") as tap_log,
        (folder / "target.log").open("w+", encoding="utf-8") as target_log,
        _started(tap, folder, subprocess.DEVNULL, tap_log) as first,
    ):
        assert first.stdout is not None
        variables = warehouse.variables()
        with _started(target, folder, first.stdout, target_log, **variables) as second:
            # Now the target alone reads it, and its end is the tap's.
            first.stdout.close()
            output, _ = second.communicate(timeout=RUN_SECONDS)
        tap_code = first.wait(RUN_SECONDS)
        tap_log.seek(0)
        target_log.seek(0)
        told, errors = tap_log.read(), target_log.read()
    states = [json.loads(line) for line in output.splitlines()]
    return Run(
        tap_code,
        second.returncode,
        sum(int(count) for count in _RECORD_COUNT.findall(told)),
        states[-1] if states else None,
        errors + told,
    )


def _started(
    command: list[str], folder: Path, stdin: Any, stderr: Any, **variables: str
) -> AbstractContextManager[subprocess.Popen[str]]:
    # target-postgres gives PostgreSQL times with a zone for columns without one, and
    # they become the session's.
    environment = inherited(*_FOREIGN_SETTINGS) | {"TMPDIR": str(folder), "PGTZ": "UTC"}
    environment |= variables
    return started(command, folder, environment, stdin=stdin, stderr=stderr)
