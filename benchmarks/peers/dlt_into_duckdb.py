"""dlt's `rest_api` source, loaded into DuckDB through Parquet."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import dlt

from benchmarks.peers.dlt_rest_api import audit_logs


def main(path: str) -> None:
    """Load the events, and write the number of rows to a file."""
    pipeline = dlt.pipeline(
        "audit",
        destination=dlt.destinations.duckdb(str(Path("audit.duckdb").resolve())),
        dataset_name="akuity",
    )
    source = audit_logs(json.loads(Path(path).read_text(encoding="utf-8")))
    pipeline.run(source, loader_file_format="parquet")
    with pipeline.sql_client() as client:
        ((count,),) = client.execute_sql("SELECT count(*) FROM audit_logs")
    Path("rows").write_text(str(count), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
