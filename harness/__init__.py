"""What the demo, the benchmarks and the end-to-end tests share: programs to run."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The folder that this project is in."""


class HarnessError(Exception):
    """A program cannot be installed or run; the message is one sentence for users."""
