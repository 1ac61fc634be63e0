"""A stream that is read window by window, written as messages or batch files."""

from __future__ import annotations

import logging
import sys
from abc import abstractmethod
from functools import cache, cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import ConfigurationError
from singer_sdk.streams import Stream

from tap_akuity.output.batches import batches
from tap_akuity.output.conversion import converters, decode
from tap_akuity.output.progress import Progress
from tap_akuity.output.selection import selecting
from tap_akuity.output.writer import LineWriter

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from singer_sdk.helpers._batch import BaseBatchFileEncoding, BatchConfig
    from singer_sdk.helpers.types import Context

    from tap_akuity.output.conversion import Convert
    from tap_akuity.reading.windows import Window
    from tap_akuity.records.event import Event


_json = attrgetter("json")


class WindowedStream(Stream):
    """A stream that is read in windows, with a bookmark after each."""

    keys: tuple[str, ...]
    """The properties that every record needs."""

    # Makes the SDK check the state after every record, and write it when it has
    # changed: once for each window, see `complete`.
    STATE_MSG_FREQUENCY = 1

    @abstractmethod
    def read_windows(self, state: dict[str, Any]) -> Iterator[Window]:
        """Read the windows of this sync.

        Args:
            state: The state of the stream.

        Yields:
            Windows in ascending order.
        """

    @abstractmethod
    def complete(self, window: Window, state: dict[str, Any]) -> None:
        """Move the bookmark past a window that was written.

        Args:
            window: From `read_windows`.
            state: The state of the stream, to be changed.
        """

    @abstractmethod
    def request_counts(self) -> dict[str, int]:
        """Return how many requests and retries have been made so far."""

    @cached_property
    def progress(self) -> Progress:
        """The progress of the sync."""
        return Progress(self.logger)

    @override
    def get_records(self, context: Context | None) -> Iterable[dict[str, Any]]:
        """Read all that is new.

        Args:
            context: Not used, the stream has no partitions.

        Yields:
            Records in ascending order.
        """
        state = self.get_context_state(context)
        for window in self.read_windows(state):
            for event in window.events:
                yield decode(event.json)
            self.complete(window, state)

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
                records = map(convert, map(_json, events))
                writer.write_records(name, filter(None, records))
            self.state_manager.is_flushed = False
            yield from ()
        self.finalize_state_progress_markers(self.get_context_state(context))

    def check_batches(self) -> None:
        """Refuse batches of more than one stream.

        Raises:
            ConfigurationError: If there is more than one stream to write.
        """
        if self.get_batch_config(self.config) and len(self.stream_maps) > 1:
            msg = (
                f"Setting `stream_maps` makes {len(self.stream_maps)} streams of "
                f"`{self.name}`, which cannot be written in batches: leave it or "
                "`batch_config` out."
            )
            raise ConfigurationError(msg)

    @override
    def get_batches(
        self, batch_config: BatchConfig, context: Context | None = None
    ) -> Iterator[tuple[BaseBatchFileEncoding, list[str]]]:
        """Read all that is new into files.

        Args:
            batch_config: The encoding and the storage.
            context: Not used, the stream has no partitions.

        Yields:
            For each batch, its encoding and the URLs of its files.

        Raises:
            ConfigurationError: If there is more than one stream to write.
        """
        self.check_batches()
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
        """Yield the events of each window, and move the bookmark once they are written.

        A window counts as written when the next one is requested.
        """
        state = self.get_context_state(context)
        progress = self.progress  # Its time runs from here.
        with self.get_record_counter() as counter, self.get_sync_timer() as timer:
            self._write_starting_replication_value(context)
            for window in self.read_windows(state):
                yield window.events
                counter.increment(len(window.events))
                self.complete(window, state)
                # Does nothing while a batch is open; the SDK writes a state after it.
                self._write_state_message()
                progress.advance(window)
            figures = progress.figures() | self.request_counts()
            timer.tags.update(figures)
        line = " ".join(f"{name}={value}" for name, value in figures.items())
        self.log("Sync completed: %s", line)
