"""The tap that most people would write with the Singer SDK: its template, filled in.

It is correct, but has no id, because the API has none. It converts timestamps to RFC
3339, which bookmarks and targets require.
"""

import json
from pathlib import Path
from typing import Any

from requests import Response
from requests.auth import HTTPBasicAuth
from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.helpers.types import Context
from singer_sdk.pagination import OffsetPaginator

SCHEMA = Path(__file__).parents[2] / "tap_akuity" / "schemas" / "audit_logs.json"


class AuditLogsPaginator(OffsetPaginator):
    """A paginator that stops at the total."""

    def has_more(self, response: Response) -> bool:
        total: int = response.json()["totalCount"]
        return self.current_value + self.page_size < total


class AuditLogsStream(RESTStream[int]):
    """The audit log of an organization."""

    name = "audit_logs"
    path = "/api/v1/organizations/{organization_id}/audit-logs"
    primary_keys = ()
    replication_key = "timestamp"
    records_jsonpath = "$.items[*]"
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))

    @property
    def url_base(self) -> str:
        return str(self.config["api_url"])

    @property
    def authenticator(self) -> HTTPBasicAuth:
        return HTTPBasicAuth(self.config["api_key_id"], self.config["api_key_secret"])

    def get_new_paginator(self) -> AuditLogsPaginator:
        return AuditLogsPaginator(start_value=0, page_size=self.config["page_size"])

    def get_url_params(
        self, context: Context | None, next_page_token: int | None
    ) -> dict[str, Any]:
        params = {
            "filters.offset": next_page_token,
            "filters.limit": self.config["page_size"],
        }
        start = self.get_starting_timestamp(context)
        if start:
            params["filters.startTime"] = start.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if "end_date" in self.config:
            params["filters.endTime"] = self.config["end_date"]
        return params

    def post_process(
        self,
        row: dict[str, Any],
        context: Context | None = None,  # noqa: ARG002 - the SDK's name
    ) -> dict[str, Any]:
        for name in ("timestamp", "lastOccurredTimestamp"):
            text = row[name].replace(" +0000 UTC", "Z").replace(" ", "T", 1)
            row[name] = text or None
        return row


class TapDefault(Tap):
    """A tap with one stream."""

    name = "tap-default"
    config_jsonschema = th.PropertiesList(
        *(
            th.Property(name, th.StringType, required=True)
            for name in ("api_url", "organization_id", "api_key_id", "api_key_secret")
        ),
        th.Property("start_date", th.DateTimeType),
        th.Property("end_date", th.DateTimeType),
        th.Property("page_size", th.IntegerType, default=500),
    ).to_dict()

    def discover_streams(self) -> list[AuditLogsStream]:
        return [AuditLogsStream(self)]


if __name__ == "__main__":
    TapDefault.cli()
