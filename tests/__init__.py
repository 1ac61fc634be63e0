"""Tests: of the tap, of the sandbox, of what is around them, and end to end."""
