"""Tests of how an item becomes an event."""
