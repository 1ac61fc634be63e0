"""What `make demo` runs: the sandbox's audit log, loaded into DuckDB with Meltano."""

from harness import ROOT

DATABASE = ROOT / "demo.duckdb"
"""Where the environment `sandbox` in meltano.yml puts the events."""
