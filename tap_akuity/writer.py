"""Writing messages to stdout, whole lines only."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from singer_sdk.contrib.msgspec import MsgSpecWriter

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from singer_sdk.singerlib import Message

GRACE_SECONDS = 1.0
"""How long a line that is being written may delay the end of the process."""


class LineWriter(MsgSpecWriter):
    """Writes messages, and never the half of one when the process is told to end."""

    def __init__(self) -> None:
        """Begin, with nothing written."""
        self._writing = False
        self._exit_code: int | None = None

    @override
    def write_message(self, message: Message) -> None:
        self._writing = True
        try:
            sys.stdout.buffer.write(self.format_message(message))
            sys.stdout.buffer.flush()
        finally:
            self._writing = False
        if self._exit_code is not None:
            sys.exit(self._exit_code)

    def exit(self, code: int) -> None:
        """End the process; if a line is being written, after that.

        To be called by signal handlers, that is, at any moment.

        Args:
            code: The exit code.

        Raises:
            SystemExit: At once, or by the writing of the line.
        """
        if not self._writing:
            sys.exit(code)
        self._exit_code = code
        # The reader of the pipe may have stopped reading for good.
        timer = threading.Timer(GRACE_SECONDS, os._exit, [code])
        timer.daemon = True
        timer.start()
