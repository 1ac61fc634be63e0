"""Benchmarks that compare the tap with its alternatives."""

from scripts import ROOT

FOLDER = ROOT / "benchmarks"
