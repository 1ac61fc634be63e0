"""Reading a range of time completely and in order."""
