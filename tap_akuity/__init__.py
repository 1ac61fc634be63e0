"""Singer tap for the audit log of an Akuity organization."""
