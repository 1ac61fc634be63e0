"""Virtual environments, for programs that disagree on what they depend on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from harness import ROOT, HarnessError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BUILD_SECONDS = 600


def build(place: Path, requirements: Sequence[str], made_of: str = "") -> Path:
    """Make an environment, unless it was made of the same before.

    Args:
        place: Its folder.
        requirements: Arguments of `pip install`.
        made_of: The contents of files that they name.

    Returns:
        The folder with its commands.

    Raises:
        HarnessError: It cannot be made.
    """
    stamp = place / "made"
    # An environment works where, and with the Python that, it was made for.
    made_of = "\n".join([str(place), sys.version, *requirements, made_of])
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != made_of:
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(exist_ok=True)
        _call(place.name, [sys.executable, "-m", "venv", str(place)])
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        # To build DuckDB where it has no wheel would take longer than anybody waits.
        options = ["--disable-pip-version-check", "--only-binary=duckdb"]
        _call(place.name, [*pip, *options, *requirements])
        stamp.write_text(made_of, encoding="utf-8")
    return place / "bin"


def _call(name: str, command: list[str]) -> None:
    try:
        # No shell, and nothing from outside in the command.
        done = subprocess.run(  # noqa: S603
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        message = f"`{name}` was not installed after {BUILD_SECONDS} seconds."
        raise HarnessError(message) from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line]
        why = said[0].partition("ERROR: ")[2] if said else f"code {done.returncode}"
        message = f"`{name}` cannot be installed: {why}."
        raise HarnessError(message)
