"""Programs in environments of their own, for benchmarks and end-to-end tests."""

import os
import subprocess
from functools import cache
from pathlib import Path

from scripts import ROOT, CommandError

HOME = ROOT / "build" / "environments"
UV = os.environ.get("UV", "uv")  # `uv run` sets it


@cache
def build(name: str, *more: str, home: Path = HOME) -> Path:
    """Install a program anew, and return the folder with its commands.

    What to install is in the file of that name in `requirements/`, if there is one, and
    in `more`, arguments for `pip install`.
    """
    place, file = home / name, ROOT / "requirements" / f"{name}.txt"
    requirements = ["--requirement", str(file)] if file.exists() else []
    pip = [UV, "pip", "install", "--python", str(place)]
    if "--ignore-requires-python" in more:  # uv has no such option
        pip = [str(place / "bin" / "python"), "-m", "pip", "install"]
    for command in (
        [UV, "venv", "--quiet", "--clear", "--seed", str(place)],
        [*pip, "--quiet", *more, *requirements],
    ):
        if subprocess.run(command, cwd=ROOT, check=False).returncode:  # noqa: S603 - ours
            message = f"`{name}` cannot be installed."
            raise CommandError(message)
    return place / "bin"
