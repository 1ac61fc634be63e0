"""A server of raw bytes, for what no well-behaved server sends, and what it costs."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from typing_extensions import Self

ROOT_HEADERS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
)


class Peer:
    """Answers each connection's one request with bytes, as long as they are taken."""

    def __init__(
        self,
        answer: Callable[[bytes], Iterable[bytes]],
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._answer = answer
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._ended = False
        self.connections = 0
        self.open = 0
        self.sent = 0
        scheme = "https" if context else "http"
        self.url = f"{scheme}://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(
                    target=self._serve, args=(connection,), daemon=True
                ).start()

    def _serve(self, accepted: socket.socket) -> None:
        self.connections += 1
        self.open += 1
        with contextlib.suppress(OSError), self._secured(accepted) as connection:
            request = b""
            while b"\r\n\r\n" not in request:
                received = connection.recv(65536)
                if not received:
                    msg = "closed without a request, as when the tap ends meanwhile"
                    raise ConnectionError(msg)
                request += received
            answer = self._answer
            if b"/api/v1/" in request and b"/audit-logs?" not in request:
                answer = _no_neighbour
            for data in answer(request):
                if self._ended:
                    break
                connection.sendall(data)
                self.sent += len(data)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            connection.recv(1)
        self.open -= 1

    def _secured(self, connection: socket.socket) -> socket.socket:
        if self._context is None:
            return connection
        try:
            return self._context.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()
            raise


def _no_neighbour(_request: bytes) -> list[bytes]:
    return [b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]


def page(items: bytes = b"", total: int = 0, headers: bytes = b"") -> bytes:
    """Make a whole response that holds a page."""
    body = b'{"items":[%b],"totalCount":%d}' % (items, total)
    length = b"Content-Length: %d\r\n" % len(body)
    return b"%b%b%b\r\n%b" % (ROOT_HEADERS, headers, length, body)


class Run(NamedTuple):
    """What became of a process."""

    code: int
    stderr: str
    megabytes: float
    """Its peak RSS."""

    @property
    def last_line(self) -> str:
        return self.stderr.splitlines()[-1].split(" | ", 3)[-1]


def run_tap(config: Path, *arguments: str, **environment: str) -> Run:
    """Run the tap, and measure its memory."""
    return run_measured(
        [sys.executable, "-m", "tap_akuity", "--config", str(config), *arguments],
        **environment,
    )


# Not from this process, whose own memory would count until the other program starts.
MEASURING = """
import resource, subprocess, sys
ended = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, timeout=90)
print(ended.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def run_measured(command: list[str], **environment: str) -> Run:
    """Run a command, and measure its memory."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TAP_AKUITY")}
    ended = subprocess.run(
        [sys.executable, "-c", MEASURING, *command],
        capture_output=True,
        text=True,
        check=True,
        env=inherited | environment,
        timeout=100,
    )
    code, peak = map(int, ended.stdout.split())
    scale = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return Run(code, ended.stderr, peak / scale)


def config_at(path: Path, peer: Peer, **settings: Any) -> Path:
    """Write settings for a peer."""
    config = {
        "organization_id": "o",
        "api_key_id": "kid-7f3a9c2e1b",
        "api_key_secret": "Zx81-qWertz-99aB",
        "api_url": peer.url,
        "start_date": "2025-01-01",
        "max_retries": 0,
        **settings,
    }
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
