"""Benchmarks that compare the tap with its alternatives."""

from harness import ROOT

FOLDER = ROOT / "benchmarks"
