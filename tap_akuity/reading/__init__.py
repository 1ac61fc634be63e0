"""A range of time, read completely and in order."""
