"""Commands for developers, and what they share with the tests and the benchmarks."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The root folder of this project."""


class CommandError(Exception):
    """A program cannot be installed or run. The message is one sentence for users."""
