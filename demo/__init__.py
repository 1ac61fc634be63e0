"""What `make demo` runs: the sandbox's audit log, loaded into DuckDB with Meltano."""

from harness import ROOT

DATABASE = ROOT / "demo.duckdb"
"""The database that the environment `sandbox` in meltano.yml loads into."""
