"""Virtual environments, for programs with conflicting dependencies."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from scripts import ROOT, CommandError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BUILD_SECONDS = 600


def build(place: Path, requirements: Sequence[str], made_of: str = "") -> Path:
    """Create an environment, unless it exists with the same contents.

    Args:
        place: The folder of the environment.
        requirements: Arguments for `pip install`.
        made_of: The contents of files named in `requirements`.

    Returns:
        The folder with the commands of the environment.

    Raises:
        CommandError: The environment cannot be created.
    """
    stamp = place / "made"
    # An environment is tied to its folder and its version of Python.
    made_of = "\n".join([str(place), sys.version, *requirements, made_of])
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != made_of:
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(exist_ok=True)
        _call(place.name, [sys.executable, "-m", "venv", str(place)])
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        # Building DuckDB where it has no wheel would take too long.
        options = ["--disable-pip-version-check", "--only-binary=duckdb"]
        _call(place.name, [*pip, *options, *requirements])
        stamp.write_text(made_of, encoding="utf-8")
    return place / "bin"


def _call(name: str, command: list[str]) -> None:
    try:
        # No shell, and no external input in the command.
        done = subprocess.run(  # noqa: S603
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        message = f"Installing `{name}` took over {BUILD_SECONDS} seconds."
        raise CommandError(message) from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line]
        why = said[0].partition("ERROR: ")[2] if said else f"code {done.returncode}"
        message = f"`{name}` cannot be installed: {why}."
        raise CommandError(message)
