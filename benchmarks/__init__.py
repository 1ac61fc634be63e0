"""Benchmarks that compare the tap with its alternatives."""

from harness import ROOT

FOLDER = ROOT / "benchmarks"
ENVIRONMENTS = ROOT / ".venv-bench"
"""Where the measured programs are installed, each in its own environment."""
