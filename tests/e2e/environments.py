"""Virtual environments for the targets, which disagree on what they depend on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".venv-targets"

BUILD_SECONDS = 300


class EnvironmentUnavailableError(Exception):
    """An environment cannot be built; the text is one sentence that says why."""


def build(name: str, requirements: Sequence[str], home: Path = HOME) -> Path:
    """Make an environment, unless it has been made of the same before.

    Returns:
        The folder with its commands.
    """
    place = home / name
    stamp = place / "made"
    # An environment works where, and with the Python that, it was made for.
    made_of = "\n".join([str(place), sys.version, *requirements, ""])
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != made_of:
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(exist_ok=True)
        _call(name, [sys.executable, "-m", "venv", str(place)])
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        # To build DuckDB where it has no wheel would take longer than anybody waits.
        options = ["--disable-pip-version-check", "--only-binary=duckdb"]
        _call(name, [*pip, *options, *requirements])
        stamp.write_text(made_of, encoding="utf-8")
    return place / "bin"


def _call(name: str, command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        msg = f"`{name}` was not installed after {BUILD_SECONDS} seconds."
        raise EnvironmentUnavailableError(msg) from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line]
        why = said[0].partition("ERROR: ")[2] if said else f"code {done.returncode}"
        msg = f"`{name}` cannot be installed into {HOME.name}/{name}: {why}."
        raise EnvironmentUnavailableError(msg)
