"""What `make demo` runs: the sandbox's audit log, loaded into DuckDB with Meltano."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The folder that this project is in."""

DATABASE = ROOT / "demo.duckdb"
"""Where the environment `sandbox` in meltano.yml puts the events."""
