"""Events to messages and batch files."""
