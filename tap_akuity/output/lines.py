"""JSON in lines; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHUNK_BYTES = 1 << 18
"""How much to gather before it is written or compressed."""

_BREAKS = {
    character.encode(): b"\\u%04x" % ord(character)
    for character in ("\N{NEXT LINE}", "\u2028", "\u2029")
}


def unbroken(lines: bytes) -> bytes:
    """Escape the characters in JSON that some readers take for the end of a line.

    Args:
        lines: JSON, in UTF-8. Such a character can only be in a string there.

    Returns:
        The same JSON without them; mostly the argument itself.
    """
    for character, escape in _BREAKS.items():
        # To look for one byte is much faster, and mostly enough.
        if character[:1] in lines and character in lines:
            lines = lines.replace(character, escape)
    return lines


def chunks(records: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Gather records.

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
