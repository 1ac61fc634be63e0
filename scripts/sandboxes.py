"""The sandbox, in its own process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from scripts import ROOT, CommandError
from scripts.processes import inherited, kill, started

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 600
"""A million events are rendered before the server is ready."""

REQUEST_SECONDS = 60


class Sandbox(NamedTuple):
    """A running sandbox."""

    url: str
    organization_id: str
    api_key_id: str
    api_key_secret: str
    records: int

    def ask(self, method: str, path: str) -> Any:  # noqa: ANN401 - JSON
        """Call a control endpoint, and return its JSON.

        Raises:
            CommandError: The sandbox rejects the request.
        """
        # Without `requests`, which takes more memory than a benchmark may use.
        netloc = urlsplit(self.url).netloc
        with contextlib.closing(
            HTTPConnection(netloc, timeout=REQUEST_SECONDS)
        ) as connection:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read()
        if response.status != 200:  # noqa: PLR2004 - HTTP
            message = f"The sandbox rejected {method} {path}: {body.decode()}."
            raise CommandError(message)
        return json.loads(body)


@contextlib.contextmanager
def serve(
    *options: str,
    stderr: Any = None,  # noqa: ANN401 - what Popen takes
) -> Iterator[Sandbox]:
    """Run a sandbox for as long as the block takes.

    Args:
        options: Command-line options.
        stderr: Where its errors go. Default: this process's stderr.

    Raises:
        CommandError: The sandbox does not start.
    """
    command = [sys.executable, "-m", "sandbox", *options]
    with started(
        command, ROOT, inherited(), stdout=subprocess.PIPE, stderr=stderr
    ) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe
        timer = threading.Timer(START_SECONDS, kill, [process])
        timer.start()
        try:
            line = process.stdout.readline()
        finally:
            timer.cancel()
        try:
            sandbox = Sandbox(**json.loads(line))
        except (TypeError, ValueError):
            message = "The sandbox did not start."
            raise CommandError(message) from None
        yield sandbox
