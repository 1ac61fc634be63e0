"""dlt's `rest_api` source, counted."""

import json
import sys
from pathlib import Path

from dlt.sources.rest_api import rest_api_source


def main(path: str) -> None:
    """Print the number of events."""
    config = json.loads(Path(path).read_text(encoding="utf-8"))
    key = {"username": config["api_key_id"], "password": config["api_key_secret"]}
    client = {
        "base_url": f"{config['api_url']}/api/v1/",
        "auth": {"type": "http_basic", **key},
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
    sys.stdout.write(f"{sum(1 for _ in source)}\n")


if __name__ == "__main__":
    main(sys.argv[1])
