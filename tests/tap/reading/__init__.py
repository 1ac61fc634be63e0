"""Tests of how a range of time is read."""
