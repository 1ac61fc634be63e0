"""JSON in lines; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHUNK_BYTES = 1 << 16
"""How much is collected before it is written or compressed.

What a pipe holds; four times as much takes twice as long, outside of the cache.
"""

_BREAKS = {
    character.encode(): b"\\u%04x" % ord(character)
    for character in ("\N{NEXT LINE}", "\u2028", "\u2029")
}
_FIRST_BYTES = {character[:1] for character in _BREAKS}


def unbroken(lines: bytes) -> bytes:
    """Escape the characters in JSON that some readers treat as the end of a line.

    Args:
        lines: JSON, in UTF-8. Such a character can only be in a string there.

    Returns:
        The same JSON without them; mostly the argument itself.
    """
    if _has_breaks(lines):
        for character, escape in _BREAKS.items():
            lines = lines.replace(character, escape)
    return lines


def _has_breaks(lines: bytes) -> bool:
    # To look for one byte is much faster than to look for two or three.
    characters = tuple(_BREAKS)
    for byte in _FIRST_BYTES:
        place = lines.find(byte)
        while place >= 0:
            if lines.startswith(characters, place):
                return True
            place = lines.find(byte, place + 1)
    return False


def chunks(records: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Collect records.

    Args:
        records: Any number of them, which are taken one by one.

    Yields:
        Some of them, which together are about `CHUNK_BYTES` long.
    """
    chunk: list[bytes] = []
    size = 0
    for record in records:
        chunk.append(record)
        size += len(record)
        if size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
