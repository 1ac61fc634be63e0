"""JSON in lines. No side effects."""

from collections.abc import Iterable, Iterator

CHUNK_BYTES = 1 << 16
"""How much to collect before it is written or compressed.

This is the capacity of a pipe. Four times as much exceeds the cache and takes twice as
long.
"""

_BREAKS = {
    character.encode(): b"\\u%04x" % ord(character)
    for character in ("\N{NEXT LINE}", "\u2028", "\u2029")
}


def unbroken(lines: bytes) -> bytes:
    """Escape the characters in JSON that some readers treat as the end of a line.

    Only strings can contain them. Usually there are none, and no copy is made.
    """
    for character, escape in _BREAKS.items():
        if _has(lines, character):
            lines = lines.replace(character, escape)
    return lines


def _has(lines: bytes, character: bytes) -> bool:
    # Searching for one byte is much faster than searching for two or three.
    place = lines.find(character[0])
    while place >= 0 and not lines.startswith(character, place):
        place = lines.find(character[0], place + 1)
    return place >= 0


def chunks(records: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Group consecutive records into chunks of about `CHUNK_BYTES`."""
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
