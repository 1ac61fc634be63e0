"""dlt's `rest_api` source: extracted and counted."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dlt.sources.rest_api import rest_api_source


def main(path: str) -> None:
    """Count the events."""
    source = audit_logs(json.loads(Path(path).read_text(encoding="utf-8")))
    sys.stdout.write(f"{sum(1 for _ in source)}\n")


def audit_logs(config: dict[str, Any]) -> Any:  # noqa: ANN401 - dlt is not typed here
    """Return the source of the audit log."""
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
                    "name": "audit_logs",
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


if __name__ == "__main__":
    main(*sys.argv[1:])
