"""A local stand-in for Akuity's audit-log API: for the demo, tests and benchmarks."""
