"""Programs that measure the tap beside what a user could pick instead."""

from harness import ROOT

FOLDER = ROOT / "benchmarks"
ENVIRONMENTS = ROOT / ".venv-bench"
"""Where the measured programs are installed, each in an environment of its own."""
