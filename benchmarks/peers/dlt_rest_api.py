"""dlt's `rest_api` source: counted, or loaded into DuckDB through Parquet."""

import json
import sys
from pathlib import Path

import dlt
from dlt.sources.rest_api import rest_api_source


def main(path: str, database: str | None = None) -> None:
    """Print the number of events, after loading them if a database is given."""
    config = json.loads(Path(path).read_text(encoding="utf-8"))
    client = {
        "base_url": f"{config['api_url']}/api/v1/",
        "auth": {
            "type": "http_basic",
            "username": config["api_key_id"],
            "password": config["api_key_secret"],
        },
    }
    endpoint = {
        "path": f"organizations/{config['organization_id']}/audit-logs",
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
    }
    resource = {"name": "audit_logs", "endpoint": endpoint}
    source = rest_api_source({"client": client, "resources": [resource]})
    if database is None:
        count = sum(1 for _ in source)
    else:
        duckdb = dlt.destinations.duckdb(database)
        pipeline = dlt.pipeline("audit", destination=duckdb, dataset_name="akuity")
        pipeline.run(source, loader_file_format="parquet")
        with pipeline.sql_client() as sql:
            ((count,),) = sql.execute_sql("SELECT count(*) FROM audit_logs")
    sys.stdout.write(f"{count}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
