"""dlt's `rest_api` source: extracted and counted, or loaded into DuckDB."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import dlt
from dlt.sources.rest_api import rest_api_source

TABLE = "audit_logs"


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--duckdb", type=Path, help="load into this file")
    parser.add_argument("--file-format", help="that the loader goes by")
    options = parser.parse_args()
    source = audit_logs(json.loads(options.config.read_text(encoding="utf-8")))
    if options.duckdb:
        load(source, options.duckdb.resolve(), options.file_format)
    else:
        sys.stdout.write(f"{sum(1 for _ in source)}\n")


def audit_logs(config: dict[str, Any]) -> Any:  # noqa: ANN401 - dlt is not typed here
    """Describe the source."""
    bounds = {"startTime": config.get("start_date"), "endTime": config.get("end_date")}
    return rest_api_source(
        {
            "client": {
                "base_url": f"{config['api_url']}/api/v1/",
                "auth": {
                    "type": "http_basic",
                    "username": config["api_key_id"],
                    "password": config["api_key_secret"],
                },
            },
            "resources": [
                {
                    "name": TABLE,
                    "write_disposition": "append",
                    "endpoint": {
                        "path": f"organizations/{config['organization_id']}/audit-logs",
                        "params": {
                            f"filters.{name}": value
                            for name, value in bounds.items()
                            if value
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


def load(source: Any, file: Path, file_format: str | None) -> None:  # noqa: ANN401
    """Load into DuckDB."""
    pipeline = dlt.pipeline(
        pipeline_name="akuity",
        pipelines_dir=str(file.parent / "pipelines"),
        destination=dlt.destinations.duckdb(str(file)),
        dataset_name="akuity",
    )
    pipeline.run(source, loader_file_format=file_format).raise_on_failed_jobs()


if __name__ == "__main__":
    main()
