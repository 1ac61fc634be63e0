"""Benchmarks that compare the tap with its alternatives."""
