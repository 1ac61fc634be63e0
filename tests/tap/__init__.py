"""Tests of the tap, laid out as its packages are."""
