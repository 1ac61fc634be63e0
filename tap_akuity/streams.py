"""The streams: their records, order and bookmarks."""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from requests.auth import HTTPBasicAuth
from singer_sdk.exceptions import ConfigurationError
from singer_sdk.schema.source import SchemaDirectory, StreamSchema
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from singer_sdk.streams import RESTStream

from tap_akuity import schemas
from tap_akuity.api.client import AkuityClient
from tap_akuity.api.query import Query
from tap_akuity.output.progress import Progress
from tap_akuity.output.stream import WindowedStream
from tap_akuity.reader import Reader
from tap_akuity.reading.limits import Limits
from tap_akuity.records import timestamps

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.helpers.types import Auth, Context
    from singer_sdk.singerlib import Catalog

    from tap_akuity.reading.windows import Window

NOT_BEFORE = "not_before"
"""In the state: where a replication without a start date began.

The lookback does not reach before it, or the second run would fetch what was past when
the first one ran.
"""


class CatalogError(ConfigurationError):
    """The catalog cannot be used; the text says why and what to do."""


class AuditLogsStream(WindowedStream, RESTStream[Query]):
    """The audit logs of the organization, whose pages `AkuityClient` fetches.

    What a response means, and when to try again, is said there. HTTP request metrics
    are not emitted: the SDK writes a line for each request, thousands in a backfill.
    """

    name = "audit_logs"
    path = "/organizations/{organization_id}/audit-logs"
    primary_keys = ("id",)
    replication_key = "timestamp"
    keys = ("id", "timestamp")
    schema = StreamSchema(SchemaDirectory(schemas))

    is_sorted = True

    @property
    @override
    def url_base(self) -> str:
        return f"{self.config['api_url']}/api/v1"

    @override
    def get_url(self, context: Context | None) -> str:
        organization_id = quote(self.config["organization_id"], safe="")
        return self.url_base + self.path.format(organization_id=organization_id)

    @override
    def get_url_params(
        self, context: Context | None, next_page_token: Query | None
    ) -> dict[str, Any]:
        # As in the client: a name that the API does not know is ignored there.
        return {
            "filters.action": self.config.get("actions", []),
            "filters.actorType": self.config.get("actor_types", []),
            "filters.actorId": self.config.get("actor_ids", []),
            "filters.actorIp": self.config.get("actor_ips", []),
            "filters.origin": self.config.get("origins", []),
        }

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        return {"Accept": "application/json", "User-Agent": self.user_agent}

    @cached_property
    @override
    def user_agent(self) -> str:
        version = self._tap.plugin_version
        return str(self.config.get("user_agent", f"{self.tap_name}/{version}"))

    @cached_property
    @override
    def authenticator(self) -> Auth:
        return HTTPBasicAuth(self.config["api_key_id"], self.config["api_key_secret"])

    @property
    @override
    def timeout(self) -> float:  # type: ignore[override]
        return float(self.config["request_timeout_seconds"])

    @override
    def backoff_max_tries(self) -> int:
        return int(self.config["max_retries"]) + 1

    @cached_property
    def client(self) -> AkuityClient:
        """The client that fetches the pages."""
        return AkuityClient(
            self.get_url(None),
            auth=self.authenticator,
            headers=self.http_headers,
            params=self.get_url_params(None, None),
            timeout=self.timeout,
            max_attempts=self.backoff_max_tries(),
            logger=self.logger,
        )

    @cached_property
    def reader(self) -> Reader:
        """The reader that makes events of the pages."""
        return Reader(
            self.client,
            organization_id=self.config["organization_id"],
            limits=Limits(self.config["page_size"], self.config["concurrency"]),
            origins=self.config.get("origins", []),
            actor_ips=self.config.get("actor_ips", []),
            precision=self.config["timestamp_precision"],
            logger=self.logger,
        )

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        """Apply a catalog, or reject one that would make the sync lose data.

        Args:
            catalog: From `--discover`, perhaps edited.

        Raises:
            CatalogError: If it lacks the stream, or what the stream cannot do without.
        """
        entry = catalog.get_stream(self.name)
        if entry is None:
            msg = f"The catalog has no stream `{self.name}`: create it with --discover."
            raise CatalogError(msg)
        super().apply_catalog(catalog)
        if not self.selected:
            return
        problem = ""
        if self.replication_method != REPLICATION_INCREMENTAL:
            problem = (
                f"The catalog asks for {self.replication_method} of `{self.name}`, "
                "which can only be read as INCREMENTAL: remove that."
            )
        elif self.replication_key != type(self).replication_key:
            problem = (
                f"The catalog has another replication key of `{self.name}` than "
                f"`{type(self).replication_key}`: restore it."
            )
        for name in self.keys:
            known = name in self.effective_schema.get("properties", {})
            if not known or not self.mask["properties", name]:
                problem = (
                    f"The catalog deselects `{name}` of `{self.name}`, without "
                    "which nothing can be loaded safely: select it."
                )
        if problem:
            raise CatalogError(problem)

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        # A bookmark never passes the end of the range, which is what a signpost is for.
        return

    @override
    def compare_start_date(self, value: str, start_date_value: str) -> str:
        # Both are as `timestamps.to_text` gives them, and sort as the instants do.
        return max(value, start_date_value)

    def read_windows(self, state: dict[str, Any]) -> Iterator[Window]:
        """Read the windows of this sync, in order."""
        start = self._start(state)
        if start is None:
            self._begin(state)
            return
        end_date = self.config.get("end_date")
        end = timestamps.parse(end_date) if end_date else None
        if end is not None and end <= start:
            self.log("All before `end_date` has been read: there is nothing to do.")
            return
        whole = self.reader.begin(start, end)
        progress = Progress(whole.total, self.logger)
        for window in self.reader.windows(whole):
            yield window
            progress.advance(len(window.events))

    def complete(self, window: Window, state: dict[str, Any]) -> None:
        """Move the bookmark, never backwards and never past what was emitted."""
        if window.reached:
            latest = min(window.reached, timestamps.to_text(window.range.end))
            state["replication_key"] = self.replication_key
            state["replication_key_value"] = max(
                latest, state.get("replication_key_value", "")
            )

    def _start(self, state: dict[str, Any]) -> int | None:
        """Find where to start: nanoseconds since the Unix epoch, None on a first run.

        The bookmark less the lookback, but not before the start date.
        """
        candidates = [self.config.get("start_date"), state.get(NOT_BEFORE)]
        starts = [timestamps.parse(text) for text in candidates if text]
        if bookmark := state.get("replication_key_value"):
            lookback = self.config["lookback_seconds"] * timestamps.SECOND
            starts.append(timestamps.parse(bookmark) - lookback)
        return max(timestamps.EARLIEST, *starts) if starts else None

    def _begin(self, state: dict[str, Any]) -> None:
        """Fetch no past events, but note the moment for the next run."""
        now = timestamps.to_text(self.reader.now())
        state["replication_key"] = self.replication_key
        state["replication_key_value"] = now
        state[NOT_BEFORE] = now
        self.log(
            "Setting `start_date` is not set and there is no state: no past events "
            "are fetched, and the next run starts at %s.",
            now,
        )
