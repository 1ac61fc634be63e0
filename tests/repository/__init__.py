"""Tests that what stands around the tap agrees with it."""
