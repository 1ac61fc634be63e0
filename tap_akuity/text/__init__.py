"""Text: exact timestamps, and what may be written to stderr. Knows no other package."""
