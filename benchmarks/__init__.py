"""Programs that measure the tap beside what a user could pick instead."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The folder that this project is in."""

FOLDER = ROOT / "benchmarks"
ENVIRONMENTS = ROOT / ".venv-bench"
"""Where the measured programs are installed, each in an environment of its own."""


class BenchmarkError(Exception):
    """The benchmark cannot go on; the message is one sentence for who ran it."""
