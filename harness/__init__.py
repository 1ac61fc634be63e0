"""Runs programs for the demo, the benchmarks and the end-to-end tests."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The root folder of this project."""


class HarnessError(Exception):
    """A program cannot be installed or run. The message is one sentence for users."""
