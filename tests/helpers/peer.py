"""A server of raw bytes, for what no well-behaved server sends, and what it costs."""

import contextlib
import gzip
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import NamedTuple

from scripts.processes import inherited

KEY = ("kid-7f3a9c2e1b", "Zx81-qWertz-99aB")
CHUNKED = b"Transfer-Encoding: chunked\r\n"
GZIP = b"Content-Encoding: gzip\r\n"
NESTED = b"Content-Encoding: gzip, gzip\r\n"


def head(status=200, headers=b""):
    first = b"HTTP/1.1 %d Some\r\nConnection: close\r\n" % status
    return first + b"Content-Type: application/json\r\n" + headers + b"\r\n"


def page(items=b"", total=0, headers=b""):
    """Make a whole response that holds a page."""
    return head(200, headers) + b'{"items":[%b],"totalCount":%d}' % (items, total)


def endless(before, data, _request=b"", *, pause=0):
    yield before
    for _ in range((700 << 20) // len(data)):  # More than any limit here.
        yield data
        time.sleep(pause)


BLANKS = b" " * (1 << 20)
BOMB = gzip.compress(bytes(1 << 24), mtime=0) * 64  # One MB unpacks to one GB.
ENDLESS = [
    (head(200, CHUNKED) + b"-1\r\n", BLANKS),
    (head(500, CHUNKED) + b"-1\r\n", BLANKS),
    (head(200), BLANKS),
    (head(503), BLANKS),
    (head(302, b"Location: /elsewhere\r\n"), BLANKS),
    (head(200, GZIP), BOMB),
    (head(500, GZIP), BOMB),
    (head(307, GZIP + b"Location: /elsewhere\r\n"), BOMB),
    (head(200, NESTED), gzip.compress(BOMB)),
    (head(500, NESTED), gzip.compress(BOMB)),
    (b"HTTP/1.1 200 OK\r\n", b"X-A: %b\r\n" % (b"a" * 60_000)),
    (b"HTTP/1.1 200 OK\r\n", b"Set-Cookie: a=%b\r\n" % (b"a" * 60_000) * 95 + b"\r\n"),
    (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000),
    (head(200, CHUNKED), b"1;%b\r\n \r\n" % (b"x" * 60_000)),
]


def hide_account(_):
    return [head(404)]


class Peer:
    """Responds to each connection's one request with bytes, as long as they are taken.

    A list of functions is served below `/0`, `/1` and so on.
    """

    def __init__(self, respond, context=None):
        self._respond = respond
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.requests = []
        self.open = 0
        self.sent: Counter[str] = Counter()
        scheme = "https" if context else "http"
        self.url = f"{scheme}://127.0.0.1:{self._socket.getsockname()[1]}"

    def urls(self):
        return [f"{self.url}/{number}" for number in range(len(self._respond))]

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._socket.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                accepted = self._socket.accept()[:1]
                threading.Thread(target=self._serve, args=accepted, daemon=True).start()

    def _serve(self, connection):
        self.open += 1
        with contextlib.suppress(OSError), connection:
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                self._exchange(connection)
        self.open -= 1

    def _exchange(self, connection):
        request = b""
        while b"\r\n\r\n" not in request:
            if not (received := connection.recv(65536)):
                return
            request += received
        self.requests.append(request)
        path = request.split()[1].decode()
        place = path.strip("/").split("/")[0]
        respond = self._respond
        if "/api/v1/" in path and "/audit-logs?" not in path:
            respond = hide_account
        elif isinstance(respond, list):
            respond = respond[int(place)]
        for data in respond(request):
            connection.sendall(data)
            self.sent[place] += len(data)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)


class Run(NamedTuple):
    code: int
    lines: list[str]  # of stderr
    megabytes: float  # the peak RSS so far


# The tap again and again in one process, which is faster.
RUNS = """
import logging, os, resource, sys
from tap_akuity.__main__ import run
# It logs much at DEBUG, and knows of no response.
logging.getLogger("singer_sdk.singerlib.catalog").setLevel("INFO")
urls, sys.argv[1:] = sys.argv[1:], ["--config=ENV"]
for url in urls:
    os.environ["TAP_AKUITY_API_URL"] = url
    logging.getLogger().handlers.clear()
    sys.stderr = sys.__stderr__
    try:
        run()
    except SystemExit as end:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"ENDED {end.code or 0} {peak}", file=sys.__stderr__, flush=True)
"""

# Not from this process, whose own memory would count until the other program starts.
STARTED = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"


def run_tap(*urls, **environment):
    """Run the tap once for each URL, and measure its memory."""
    given = {
        "TAP_AKUITY_ORGANIZATION_ID": "o",
        "TAP_AKUITY_API_KEY_ID": KEY[0],
        "TAP_AKUITY_API_KEY_SECRET": KEY[1],
        "TAP_AKUITY_START_DATE": "2025-01-01",
        "TAP_AKUITY_MAX_RETRIES": "0",
    }
    ended = subprocess.run(
        [sys.executable, "-c", STARTED, sys.executable, "-c", RUNS, *urls],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
        env=inherited("TAP_AKUITY") | given | environment,
        timeout=200,
    )
    scale = 1 << 20 if sys.platform == "darwin" else 1 << 10
    runs = re.findall(r"(?ms)(.*?)^ENDED (\d+) (\d+)$", ended.stderr)
    return [Run(int(c), text.splitlines(), int(m) / scale) for text, c, m in runs]
