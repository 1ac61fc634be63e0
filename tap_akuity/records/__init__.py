"""One item of the API to one event: timestamps, identity, content."""
