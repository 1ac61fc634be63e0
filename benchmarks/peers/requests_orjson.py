"""A minimal script: no schema, no state, no ids, no retries."""

import json
import sys
from pathlib import Path

import orjson
import requests

config = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
url = f"{config['api_url']}/api/v1/organizations/{config['organization_id']}/audit-logs"
bounds = {"startTime": config.get("start_date"), "endTime": config.get("end_date")}
params = {f"filters.{name}": value for name, value in bounds.items() if value}
params["filters.limit"] = size = config["page_size"]
with requests.Session() as session:
    session.auth = (config["api_key_id"], config["api_key_secret"])
    offset, total = 0, 1
    while offset < total:
        answer = session.get(url, params={**params, "filters.offset": offset})
        answer.raise_for_status()
        page = orjson.loads(answer.content)
        for item in page["items"]:
            sys.stdout.buffer.write(orjson.dumps(item) + b"\n")
        offset, total = offset + size, page["totalCount"]
