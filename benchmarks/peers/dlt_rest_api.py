"""dlt's `rest_api` source: counted, or loaded into DuckDB through Parquet."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import dlt
from dlt.sources.rest_api import rest_api_source


def main(path: str, database: str | None = None) -> None:
    """Print the number of events, after loading them if a database is given."""
    source = audit_logs(json.loads(Path(path).read_text(encoding="utf-8")))
    if database is None:
        count = sum(1 for _ in source)
    else:
        duckdb = dlt.destinations.duckdb(database)
        pipeline = dlt.pipeline("audit", destination=duckdb, dataset_name="akuity")
        pipeline.run(source, loader_file_format="parquet")
        with pipeline.sql_client() as client:
            ((count,),) = client.execute_sql("SELECT count(*) FROM audit_logs")
    sys.stdout.write(f"{count}\n")


def audit_logs(config: dict[str, Any]) -> Any:  # noqa: ANN401 - dlt is not typed here
    """Return the source of the audit log."""
    base = f"{config['api_url']}/api/v1/organizations/{config['organization_id']}/"
    return rest_api_source(
        {
            "client": {
                "base_url": base,
                "auth": {
                    "type": "http_basic",
                    "username": config["api_key_id"],
                    "password": config["api_key_secret"],
                },
            },
            "resources": [
                {
                    "name": "audit_logs",
                    "endpoint": {
                        "path": "audit-logs",
                        "params": {
                            "filters.startTime": config["start_date"],
                            "filters.endTime": config["end_date"],
                        },
                        "data_selector": "items",
                        "paginator": {
                            "type": "offset",
                            "limit": config["page_size"],
                            "offset_param": "filters.offset",
                            "limit_param": "filters.limit",
                            "total_path": "totalCount",
                        },
                    },
                }
            ],
        }
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
