"""Writing messages to stdout, whole lines only."""

import os
import sys
import threading
from collections.abc import Iterable
from datetime import UTC, datetime

from singer_sdk.contrib.msgspec import MsgSpecWriter, encoder
from singer_sdk.singerlib import Message
from typing_extensions import override

from tap_akuity.output.lines import chunks, unbroken

GRACE_SECONDS = 1.0
"""How long an unfinished line may delay the end of the process."""


class OutputError(Exception):
    """The messages cannot be written; the text says why."""


class LineWriter(MsgSpecWriter):
    """Writes messages, and finishes the current one before the process ends."""

    def __init__(self) -> None:
        self._writing = False
        self._exit_code: int | None = None

    @override
    def write_message(self, message: Message) -> None:
        self.write_lines(bytes(self.format_message(message)))

    def write_records(self, stream: str, records: Iterable[bytes]) -> int:
        """Write records, each a JSON object, as RECORD messages, and count them."""
        count = 0
        extracted = datetime.now(UTC)
        before = b'{"type":"RECORD","stream":%b,"record":' % encoder.encode(stream)
        after = b',"time_extracted":%b}\n' % encoder.encode(extracted)
        for chunk in chunks(records):
            self.write_lines(before + (after + before).join(chunk) + after)
            count += len(chunk)
        return count

    def write_lines(self, lines: bytes) -> None:
        """Write messages, each a line.

        Raises:
            OutputError: If they cannot be written.
        """
        lines = unbroken(lines)
        self._writing = True
        try:
            written = sys.stdout.buffer.write(lines)
            while written < len(lines):
                # With PYTHONUNBUFFERED, a signal can interrupt a write.
                written += sys.stdout.buffer.write(lines[written:])
            sys.stdout.buffer.flush()
        except OSError as error:
            # Otherwise Python would try to write the rest again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise OutputError(
                "Could not write to the target: see its own messages "
                f"({error.strerror})."
            ) from error
        finally:
            self._writing = False
        if self._exit_code is not None:
            sys.exit(self._exit_code)

    def exit(self, code: int) -> None:
        """End the process once the current line is written.

        Signal handlers may call this at any moment.

        Raises:
            SystemExit: At once, or from `write_lines` after the line.
        """
        # Also for the case that Python ignores the exception, as in a finalizer.
        self._exit_code = code
        if not self._writing:
            sys.exit(code)
        # The reader of the pipe may have stopped reading for good.
        timer = threading.Timer(GRACE_SECONDS, os._exit, [code])
        timer.daemon = True
        timer.start()
