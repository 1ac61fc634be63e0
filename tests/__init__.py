"""Tests: one file for each room, then end to end."""
