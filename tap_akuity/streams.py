"""The streams: their records, order and bookmarks."""

import logging
import time
from collections.abc import Generator, Iterable, Iterator
from functools import cache, cached_property
from itertools import chain
from operator import attrgetter
from typing import Any, cast
from urllib.parse import quote

from requests.auth import HTTPBasicAuth
from singer_sdk.exceptions import ConfigurationError
from singer_sdk.helpers._batch import BaseBatchFileEncoding, BatchConfig
from singer_sdk.helpers.types import Auth, Context
from singer_sdk.schema.source import SchemaDirectory, StreamSchema
from singer_sdk.singerlib import Catalog
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from singer_sdk.streams import RESTStream
from typing_extensions import override

from tap_akuity import schemas
from tap_akuity.api.client import AkuityClient
from tap_akuity.api.query import Query
from tap_akuity.checks.account import Account
from tap_akuity.checks.daily import check_key, check_reach
from tap_akuity.output.batches import batches
from tap_akuity.output.conversion import Convert, converters, decode
from tap_akuity.output.progress import Progress
from tap_akuity.output.selection import selecting
from tap_akuity.output.writer import LineWriter
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.ranges import IncompleteError, Range
from tap_akuity.reading.reader import Reader
from tap_akuity.reading.recount import Recount
from tap_akuity.reading.windows import Window
from tap_akuity.records.event import Event
from tap_akuity.records.filters import Unmatched, canonical_address, listed
from tap_akuity.state import (
    CHECKED_ON,
    NOT_BEFORE,
    READ_UNTIL,
    RECOUNT,
    SOURCE,
    source,
)
from tap_akuity.text import timestamps

FILTERS = {
    "actions": "filters.action",
    "actor_types": "filters.actorType",
    "actor_ids": "filters.actorId",
    "actor_ips": "filters.actorIp",
    "origins": "filters.origin",
}
"""The query parameter of each filter setting.

The API silently ignores names that it does not know.
"""

_json = attrgetter("json")


class CatalogError(ConfigurationError):
    """The catalog cannot be used; the text says why and what to do."""


class AuditLogsStream(RESTStream[Query]):
    """The audit log of the organization.

    `AkuityClient` fetches its pages, interprets responses and retries requests. HTTP
    request metrics are not emitted: the SDK would log a line for each request, which is
    thousands in a backfill.
    """

    name = "audit_logs"
    path = "/organizations/{organization_id}/audit-logs"
    primary_keys = ("id",)
    replication_key = "timestamp"
    schema = StreamSchema(SchemaDirectory(schemas))

    keys = (*primary_keys, replication_key)
    """The properties that every record needs."""

    is_sorted = True

    # Makes the SDK check the state after every record, and write it when it has
    # changed: once for each window, see `_complete`.
    STATE_MSG_FREQUENCY = 1

    _recount: Recount | None = None
    _has_gap = False

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
        values = dict(self.filters)
        if addresses := values.get("actor_ips"):
            # The API compares text: ask for the usual notation of an address, too.
            also = map(canonical_address, addresses)
            values["actor_ips"] = list(dict.fromkeys([*addresses, *also]))
        return {FILTERS[setting]: values.get(setting, []) for setting in FILTERS}

    @property
    def filters(self) -> dict[str, list[str]]:
        """The values of each filter setting that is set."""
        return {name: self.config[name] for name in FILTERS if self.config.get(name)}

    @cached_property
    def _source(self) -> str:
        return source(self.config["organization_id"], self.filters)

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
    def account(self) -> Account:
        """The client for the organization and the API key."""
        return Account(
            self.client,
            base_url=self.url_base,
            organization_id=self.config["organization_id"],
            api_key_id=self.config["api_key_id"],
        )

    @cached_property
    def reader(self) -> Reader:
        """The reader that turns pages into events."""
        return Reader(
            self.client,
            organization_id=self.config["organization_id"],
            limits=Limits(self.config["page_size"], self.config["concurrency"]),
            origins=self.config.get("origins", []),
            actor_ips=self.config.get("actor_ips", []),
            precision=self.config["timestamp_precision"],
            logger=self.logger,
        )

    @cached_property
    def progress(self) -> Progress:
        """The progress of the sync."""
        return Progress(self.logger)

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        # Rejects a catalog that would make the sync lose data.
        entry = catalog.get_stream(self.name)
        if entry is None:
            raise CatalogError(
                f"The catalog has no stream `{self.name}`: create it with --discover."
            )
        super().apply_catalog(catalog)
        problem = ""
        if not self.selected:
            problem = (
                f"The catalog does not select `{self.name}`, so that nothing would be "
                f"read: select it (with Meltano, add `{self.name}.*` to `select`)."
            )
        elif self.replication_method != REPLICATION_INCREMENTAL:
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
            if self.selected and not (known and self.mask["properties", name]):
                problem = (
                    f"The catalog deselects `{name}` of `{self.name}`, without "
                    "which nothing can be loaded safely: select it."
                )
        if problem:
            raise CatalogError(problem)

    @cached_property
    def converters(self) -> list[tuple[str, Convert]]:
        """The functions that create records; see `tap_akuity.output.conversion`.

        Raises:
            StreamMapError: If a stream map removes a property that every record needs.
        """

        @cache
        def warn(path: str) -> None:
            self.log(
                "The catalog's schema of `%s` has no `%s`, which is left out.",
                self.name,
                path,
                level=logging.WARNING,
            )

        select = selecting(self.effective_schema, self.mask, warn)
        return converters(select, self.stream_maps, self.config, self.keys)

    def check_batches(self) -> None:
        """Refuse batches of more than one stream.

        Raises:
            ConfigurationError: If there is more than one stream to write.
        """
        if self.get_batch_config(self.config) and len(self.stream_maps) > 1:
            raise ConfigurationError(
                f"Setting `stream_maps` makes {len(self.stream_maps)} streams of "
                f"`{self.name}`, which cannot be written in batches: leave it or "
                "`batch_config` out."
            )

    @override
    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[dict[str, Any], Any, Any]:
        # The SDK walks the catalog and the schema for every record, and writes one line
        # at a time; here a window is converted and written at once.
        writer = cast("LineWriter", self._tap.message_writer)
        for events in self._synced(context):
            for name, convert in self.converters:
                records = map(convert, map(_json, events))
                count = writer.write_records(name, filter(None, records))
                self.progress.emitted += count
            self.state_manager.is_flushed = False
            yield from ()
        self.finalize_state_progress_markers(self.get_context_state(context))

    @override
    def get_batches(
        self, batch_config: BatchConfig, context: Context | None = None
    ) -> Iterator[tuple[BaseBatchFileEncoding, list[str]]]:
        self.check_batches()

        def records() -> Iterator[bytes]:
            for events in self._synced(context):
                for event in events:
                    for _, convert in self.converters:
                        if (record := convert(event.json)) is not None:
                            self.progress.emitted += 1
                            yield record

        for manifest in batches(self.tap_name, self.name, batch_config, records()):
            yield batch_config.encoding, manifest
        self.finalize_state_progress_markers(self.get_context_state(context))

    @override
    def get_records(self, context: Context | None) -> Iterable[dict[str, Any]]:
        state = self.get_context_state(context)
        for window in self._windows(state):
            for event in window.events:
                yield decode(event.json)
            self._complete(window, state)

    def _synced(self, context: Context | None) -> Iterator[list[Event]]:
        """Yield the events of each window, and move the bookmark once they are written.

        A window counts as written when the next one is requested.
        """
        state = self.get_context_state(context)
        progress = self.progress  # Its time runs from here.
        with self.get_record_counter() as counter, self.get_sync_timer() as timer:
            for window in self._windows(state):
                before = progress.emitted
                yield window.events
                counter.increment(progress.emitted - before)
                self._complete(window, state)
                # Does nothing while a batch is open; the SDK writes a state after it.
                self._write_state_message()
                progress.advance(window)
            figures = progress.figures() | {
                "requests": self.client.requests,
                "retries": self.client.retries,
            }
            timer.tags.update(figures)
        line = " ".join(f"{name}={value}" for name, value in figures.items())
        self.log("Sync completed: %s", line)

    def _windows(self, state: dict[str, Any]) -> Iterator[Window]:
        """Read the windows of this sync, in order."""
        self._warn_of_what_is_skipped(state)
        start = self._start(state)
        if start is None:
            self._begin(state)
            return
        end_date = self.config.get("end_date")
        end = timestamps.parse(end_date) if end_date else None
        if end is not None and end <= start:
            self.log("Everything before `end_date` has been read: nothing to do.")
            return
        # With a bookmark, most runs find nothing new.
        unmatched = Unmatched(
            {} if state.get("replication_key_value") else self.filters
        )
        whole = self.reader.begin(start, end)
        self._initial = dict(state)
        self.progress.begin(whole.range, whole.total, is_shard=end is not None)
        for window in chain(
            self._daily(state, whole.range, end), self.reader.windows(whole)
        ):
            if not window.again:
                unmatched.observe(window.events)
            self._has_gap |= bool(window.unsent)
            yield window
        if self._has_gap:
            raise IncompleteError(
                "All events were loaded except those too big for Akuity, which "
                "the warnings name; the next run starts before them: leave them out "
                "with `start_date`, `end_date` or a filter, and contact its support."
            )
        if unmatched.values:
            self.log(
                "From %s to %s no event matches %s: check the values, which must be as "
                "Akuity spells them.",
                *map(timestamps.to_bound, whole.range),
                listed(unmatched.values),
                level=logging.WARNING,
            )

    def _warn_of_what_is_skipped(self, state: dict[str, Any]) -> None:
        """Warn of events that the settings ask for and the state leaves out."""
        start_date, not_before = self.config.get("start_date"), state.get(NOT_BEFORE)
        if start_date and not_before and start_date < not_before:
            self.log(
                "Setting `start_date` is %s, but the first run had none, so nothing "
                "before %s is loaded: to load it, run once without the state (with "
                "Meltano, --full-refresh).",
                start_date,
                not_before,
                level=logging.WARNING,
            )
        bookmark = state.get("replication_key_value")
        if bookmark and state.get(SOURCE, self._source) != self._source:
            self.log(
                "The state is from another `organization_id` or other filters, so "
                "what they left out before %s is not loaded: to load it, run once "
                "without the state (with Meltano, --full-refresh).",
                bookmark,
                level=logging.WARNING,
            )

    def _daily(
        self, state: dict[str, Any], span: Range, end: int | None
    ) -> Iterator[Window]:
        """Run the daily checks, and read days with late events again."""
        today = timestamps.to_text(span.end)[:10]
        is_first = state.get(CHECKED_ON) != today
        bound = self._bound(state) or timestamps.EARLIEST
        if is_first:
            reached = state.get(READ_UNTIL) or state.get("replication_key_value")
            fail = self.config["fail_on_gap"]
            wanted = Range(bound, span.end)
            check_reach(self.account, self.logger, reached, wanted, fail=fail)
        if span.end == end:
            return  # A shard.
        if is_first:
            check_key(self.account, self.logger, span.end)
        if days := self.config["recount_days"]:
            events = self.config["organization_id"], self.get_url_params(None, None)
            kept = state.get(RECOUNT, {})
            self._recount = Recount(kept, events, span, bound=bound, days=days)
            if is_first or self._recount.is_new:
                yield from self.reader.recounted(self._recount)
        state[CHECKED_ON] = today

    def _begin(self, state: dict[str, Any]) -> None:
        """Record where the next run starts, without fetching past events."""
        now = timestamps.to_text(self.reader.now())
        state["replication_key"] = self.replication_key
        state["replication_key_value"] = now
        state[NOT_BEFORE] = now
        state[SOURCE] = self._source
        self.log(
            "Nothing was loaded, because there is neither a state nor the setting "
            "`start_date`: the next run starts at %s. To load past events, set "
            "`start_date`, and run without the state.",
            now,
            level=logging.WARNING,
        )

    def _complete(self, window: Window, state: dict[str, Any]) -> None:
        """Move the bookmark, but never past an event that was not emitted."""
        if window.is_restart:
            for name in ("replication_key", "replication_key_value", READ_UNTIL):
                state.pop(name, None)
                if name in self._initial:
                    state[name] = self._initial[name]
        if window.is_restart or window.is_doubtful or self._has_gap:
            return
        state[SOURCE] = self._source
        # The server's clock may be ahead, and the range with it.
        read_until = timestamps.to_text(min(window.range.end, time.time_ns()))
        state[READ_UNTIL] = max(read_until, state.get(READ_UNTIL, ""))
        if window.reached:
            latest = min(window.reached, timestamps.to_text(window.range.end))
            state["replication_key"] = self.replication_key
            state["replication_key_value"] = max(
                latest, state.get("replication_key_value", "")
            )
        if self._recount:
            self._recount.add(window, self._start(state) or self._recount.start)
            state[RECOUNT] = self._recount.keep()

    def _start(self, state: dict[str, Any]) -> int | None:
        """Return where to start: nanoseconds since the Unix epoch, None on a first run.

        That is the bookmark minus the lookback, but not before the start date.
        """
        bound = self._bound(state)
        if bookmark := state.get("replication_key_value"):
            lookback: int = self.config["lookback_seconds"] * timestamps.SECOND
            bound = bound or timestamps.EARLIEST
            return max(bound, timestamps.parse(bookmark) - lookback)
        return bound

    def _bound(self, state: dict[str, Any]) -> int | None:
        """Return the instant before which no event is wanted, if there is one."""
        candidates = [self.config.get("start_date"), state.get(NOT_BEFORE)]
        bounds = [timestamps.parse(text) for text in candidates if text]
        return max(timestamps.EARLIEST, *bounds) if bounds else None

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        # Unnecessary: a bookmark never passes the end of the range.
        return
