"""What may be written to stderr: no secret, no control character, bounded lines.

All output to stderr passes through this module: the tap's messages through `one_line`,
before they are shortened, and everything else (the SDK, urllib3, warnings, tracebacks)
through the stream with which `guard_stderr` replaces `sys.stderr`.
"""

import base64
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, TextIO, cast
from urllib.parse import unquote

MASK = "***"

MAX_QUOTED = 300
"""How many characters of external text a message shows."""

MAX_SENTENCE = 2_000
"""The longest sentence that ends a run, in characters."""

MAX_LINE = 10_000
"""The longest line on stderr, in characters."""

_MAX_WRITE = 65_536  # The rest is dropped.

_RUN = 8
"""This many consecutive characters of a secret are masked, even if it is cut off."""

_NAMES = ("tap-akuity", "tap_akuity")
"""No secrets, although the name of a key may hold them: they are in most lines."""

_SHORTEST = 4  # Anything shorter is not a secret, and would occur in every sentence.

# A character as is, encoded in a URL (any number of times), or escaped by Python or
# JSON. An escaped control character matches as a whole, and is not part of a secret.
_CHARACTER = re.compile(
    r"%(?:25)*(?P<url>[0-9A-Fa-f]{2})"
    r"|\\+x(?P<python>[0-9A-Fa-f]{2})"
    r"|\\+u(?P<json>[0-9A-Fa-f]{4})"
    r"|\\+[abfnrtv0]"
    r"|(?P<plain>[!-\[\]-~])"
)


class _Secrets:
    """The secrets of this process; finds pieces of them in a text."""

    def __init__(self) -> None:
        self._runs: set[str] = set()
        self._short: set[str] = set()

    def add(self, secret: str) -> None:
        text = "".join(character for character, _, _ in _characters(secret))
        if len(text) >= _RUN:
            self._runs.update(_runs_of(text).difference(*map(_runs_of, _NAMES)))
        elif len(text) >= _SHORTEST:
            self._short.add(text)

    def mask(self, text: str) -> str:
        if not self._runs and not self._short:
            return text
        found = list(_characters(text))
        bare = "".join(character for character, _, _ in found)
        pieces: list[str] = []
        end = 0
        for first, last in self._runs_in(bare):
            begin = found[first][1]
            if begin >= end or not pieces:
                pieces += [text[end:begin], MASK]
            end = max(end, found[last][2])
        return "".join([*pieces, text[end:]])

    def _runs_in(self, bare: str) -> Iterator[tuple[int, int]]:
        """Find secrets: the positions of their first and last characters, in order."""
        spans = [
            (i, i + _RUN - 1)
            for i in range(len(bare) - _RUN + 1)
            if bare[i : i + _RUN] in self._runs
        ]
        for short in self._short:
            spans += [
                (match.start(), match.end() - 1)
                for match in re.finditer(re.escape(short), bare)
            ]
        return iter(sorted(spans))


def _runs_of(text: str) -> set[str]:
    return {text[i : i + _RUN] for i in range(len(text) - _RUN + 1)}


_secrets = _Secrets()


def hide(secret: str) -> None:
    """Mask a secret, and any longer piece of it, in every encoding from now on.

    One that is shorter than four characters is ignored.
    """
    _secrets.add(secret)


def hide_key(key_id: str, secret: str) -> None:
    """Hide a key for HTTP Basic authentication: the id, the secret and the token."""
    for text in (key_id, secret, _basic_token(f"{key_id}:{secret}")):
        hide(text)


def hide_proxies(environment: Mapping[str, str]) -> None:
    """Hide the passwords in the URLs of proxies, valid or not."""
    for name, url in environment.items():
        if not name.lower().endswith("_proxy"):
            continue
        user_info, at, _ = url.rpartition("@")
        if at:
            before, slashes, after = user_info.partition("//")
            user_info = after if slashes else before
            password = user_info.partition(":")[2]
            hide(user_info)
            hide(password)
            hide(_basic_token(unquote(user_info)))


def one_line(text: str, limit: int = MAX_QUOTED) -> str:
    """Make external text safe for a message: masked, printable, one line, cut off."""
    line = " ".join(_printable(_secrets.mask(text[:_MAX_WRITE])).split())
    return f"{line[:limit]}…" if len(line) > limit else line


def guard_stderr() -> None:
    """Route all output to stderr through this module from now on."""
    sys.stderr = cast("TextIO", _CleanStream(sys.stderr))
    hide_proxies(os.environ)


class _CleanStream:
    """A text stream that masks its output and delegates everything else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        lines = _secrets.mask(text[:_MAX_WRITE]).split("\n")
        self._stream.write(
            "\n".join(
                _printable(line[:MAX_LINE]) + "…" * (len(line) > MAX_LINE)
                for line in lines
            )
        )
        if len(text) > _MAX_WRITE:
            self._stream.write("…\n")
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._stream, name)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " for c in text)


def _characters(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the decoded visible ASCII of a text in lower case, with its positions."""
    for match in _CHARACTER.finditer(text):
        if match["plain"]:
            character = match["plain"]
        elif code := match["url"] or match["python"] or match["json"]:
            character = chr(int(code, 16))
        else:
            continue
        if "!" <= character <= "~":
            yield character.lower(), match.start(), match.end()


def _basic_token(user_info: str) -> str:
    # The environment may hold bytes that are not UTF-8.
    return base64.b64encode(user_info.encode(errors="surrogateescape")).decode()
