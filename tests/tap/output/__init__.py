"""Tests of how events become messages and batch files."""
