"""What is read: which records, in which order, with which bookmark."""

from __future__ import annotations

import logging
import sys
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from requests.auth import HTTPBasicAuth
from singer_sdk.exceptions import AbortedSyncPausedException, ConfigurationError
from singer_sdk.schema.source import SchemaDirectory, StreamSchema
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from singer_sdk.streams import RESTStream

from tap_akuity import schemas
from tap_akuity.api.client import AkuityClient
from tap_akuity.api.query import Query
from tap_akuity.output.batches import batches
from tap_akuity.output.conversion import converters, decode
from tap_akuity.output.progress import Progress
from tap_akuity.output.selection import selecting
from tap_akuity.output.writer import LineWriter
from tap_akuity.reader import Reader
from tap_akuity.reading.limits import Limits
from tap_akuity.records import timestamps

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from singer_sdk.helpers._batch import BaseBatchFileEncoding, BatchConfig
    from singer_sdk.helpers.types import Auth, Context
    from singer_sdk.singerlib import Catalog

    from tap_akuity.output.conversion import Convert
    from tap_akuity.reading.windows import Window
    from tap_akuity.records.event import Event

NOT_BEFORE = "not_before"
"""In the state: where a replication without a start date began.

The lookback does not reach before it, or the second run would fetch what was past when
the first one ran.
"""


class CatalogError(ConfigurationError):
    """The catalog cannot be used; the text says why and what to do."""


class AuditLogsStream(RESTStream[Query]):
    """The audit logs of the organization, whose pages `AkuityClient` fetches.

    What a response means, and when to try again, is said there. HTTP request metrics
    are not emitted: the SDK writes a line for each request, thousands in a backfill.
    """

    name = "audit_logs"
    path = "/organizations/{organization_id}/audit-logs"
    primary_keys = ("id",)
    replication_key = "timestamp"
    schema = StreamSchema(SchemaDirectory(schemas))

    is_sorted = True

    # The SDK then looks at the state after every record, and writes it when it has
    # changed: once for each window, see `_complete`.
    STATE_MSG_FREQUENCY = 1

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
        """What fetches the pages."""
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
        """What reads the events from the pages."""
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
        """Take a catalog, or refuse one that would make the sync lose something.

        Args:
            catalog: From `--discover`, perhaps edited.

        Raises:
            CatalogError: If it lacks the stream, or what the stream cannot do without.
        """
        entry = catalog.get_stream(self.name)
        if entry is None:
            msg = f"The catalog has no stream `{self.name}`: make it with --discover."
            raise CatalogError(msg)
        super().apply_catalog(catalog)
        if not self.selected:
            return
        if self.replication_method != REPLICATION_INCREMENTAL:
            msg = (
                f"The catalog asks for {self.replication_method} of `{self.name}`, "
                "which can only be read as INCREMENTAL: remove that."
            )
            raise CatalogError(msg)
        if self.replication_key != type(self).replication_key:
            msg = (
                f"The catalog has another replication key of `{self.name}` than "
                f"`{type(self).replication_key}`: restore it."
            )
            raise CatalogError(msg)
        for name in (*type(self).primary_keys, type(self).replication_key):
            properties = self.effective_schema.get("properties", {})
            if name not in properties or not self.mask[("properties", name)]:
                msg = (
                    f"The catalog deselects `{name}` of `{self.name}`, without which "
                    "nothing can be loaded safely: select it."
                )
                raise CatalogError(msg)

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        # A bookmark never passes the end of the range, which is what a signpost is for.
        return

    @override
    def compare_start_date(self, value: str, start_date_value: str) -> str:
        # Both are as `timestamps.to_text` gives them, and sort as the instants do.
        return max(value, start_date_value)

    @override
    def get_records(self, context: Context | None) -> Iterable[dict[str, Any]]:
        """Read all that is new.

        Args:
            context: Not used, the stream has no partitions.

        Yields:
            Records in ascending order.
        """
        state = self.get_context_state(context)
        for window in self._windows(state):
            for event in window.events:
                yield decode(event.json)
            self._complete(window, state)

    @cached_property
    def converters(self) -> list[tuple[str, Convert]]:
        """What makes records of an event; see `tap_akuity.output.conversion`.

        Raises:
            StreamMapError: If a stream map takes away what no record can do without.
        """

        @cache
        def warn(path: str) -> None:
            self.log(
                "The catalog's schema of `%s` has no `%s`, which is left out.",
                self.name,
                path,
                level=logging.WARNING,
            )

        keys = (*type(self).primary_keys, type(self).replication_key)
        select = selecting(self.effective_schema, self.mask, warn)
        return converters(select, self.stream_maps, self.config, keys)

    @override
    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[dict[str, Any], Any, Any]:
        # The SDK walks the catalog and the schema for every record, and writes one line
        # at a time; here a window is converted and written at once.
        writer = self._tap.message_writer
        if not isinstance(writer, LineWriter):
            msg = (
                f"Messages are written by a LineWriter, not a {type(writer).__name__}."
            )
            raise TypeError(msg)
        for events in self._synced(context):
            for name, convert in self.converters:
                records = (convert(event.json) for event in events)
                writer.write_records(name, filter(None, records))
            self.state_manager.is_flushed = False
            yield from ()
        self.finalize_state_progress_markers(self.get_context_state(context))

    @override
    def get_batches(
        self, batch_config: BatchConfig, context: Context | None = None
    ) -> Iterator[tuple[BaseBatchFileEncoding, list[str]]]:
        """Read all that is new into files.

        Args:
            batch_config: How, and where to.
            context: Not used, the stream has no partitions.

        Yields:
            For each batch how it is written, and the URLs of its files.

        Raises:
            ConfigurationError: If there is more than one stream to write.
        """
        if len(self.stream_maps) > 1:
            msg = (
                f"Setting `stream_maps` makes {len(self.stream_maps)} streams of "
                f"`{self.name}`, which cannot be written in batches: leave it or "
                "`batch_config` out."
            )
            raise ConfigurationError(msg)
        records = (
            record
            for events in self._synced(context)
            for event in events
            for name, convert in self.converters
            if (record := convert(event.json)) is not None
        )
        for manifest in batches(self.tap_name, self.name, batch_config, records):
            yield batch_config.encoding, manifest
        self.finalize_state_progress_markers(self.get_context_state(context))

    def _synced(self, context: Context | None) -> Iterator[list[Event]]:
        """Read the events of each window, and move the bookmark when they are written.

        A window counts as written when the next one is asked for.
        """
        state = self.get_context_state(context)
        limit, done = self.ABORT_AT_RECORD_COUNT, 0
        with self.get_record_counter() as counter, self.get_sync_timer():
            self._write_starting_replication_value(context)
            for window in self._windows(state):
                left = None if limit is None else limit - done
                yield window.events[:left]
                done += len(window.events)
                if limit is not None and done > limit:  # With `--test`.
                    self._write_state_message()
                    raise AbortedSyncPausedException
                counter.increment(len(window.events))
                self._complete(window, state)
                # Says nothing while a batch is open: after each, the SDK says it.
                self._write_state_message()

    def _windows(self, state: dict[str, Any]) -> Iterator[Window]:
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
            progress.advance(len(window.events), window.range.end)

    def _complete(self, window: Window, state: dict[str, Any]) -> None:
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
        """Fetch nothing that is past, but note the moment for the next run."""
        now = timestamps.to_text(self.reader.now())
        state["replication_key"] = self.replication_key
        state["replication_key_value"] = now
        state[NOT_BEFORE] = now
        self.log(
            "Setting `start_date` is not set and there is no state: no past audit logs "
            "are fetched, and the next run starts at %s.",
            now,
        )
