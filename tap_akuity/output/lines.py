"""JSON in lines; pure."""

from __future__ import annotations

CHUNK_BYTES = 1 << 18
"""How much to gather before it is written or compressed."""

_BREAKS = {
    character.encode(): b"\\u%04x" % ord(character)
    for character in ("\N{NEXT LINE}", "\u2028", "\u2029")
}


def unbroken(lines: bytes | bytearray) -> bytes | bytearray:
    """Escape the characters in JSON that some readers take for the end of a line.

    Args:
        lines: JSON, in UTF-8. Such a character can only be in a string there.

    Returns:
        The same JSON without them; mostly the argument itself.
    """
    for character, escape in _BREAKS.items():
        if character in lines:
            lines = lines.replace(character, escape)
    return lines
