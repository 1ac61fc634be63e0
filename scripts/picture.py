"""Draws what the demo prints: `make demo | python -m scripts.picture > docs/demo.svg`.

The picture follows the reader's choice of a light or dark theme.
"""

import re
import sys
from collections.abc import Iterator
from html import escape, unescape

WIDTH, HEIGHT, MARGIN = 8.4, 20, 20
"""Of a character, of a line, and around all of them, in pixels."""

FIRST, AFTER = "$ make demo", "The events are in "
"""The first line of the picture, and the words before which it ends."""

CLASSES = {r"\$ ": "command", "Check  ": "check", "Who did|  who ": "title"}
"""How lines that begin with these words look; others are plain."""

STYLE = """\
text { font: 14px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace }
rect { fill: #f6f8fa; stroke: #d1d9e0 }
text { fill: #1f2328; white-space: pre }
.command, .title { font-weight: bold }
.check { fill: #116329 }
@media (prefers-color-scheme: dark) {
  rect { fill: #151b23; stroke: #3d444d }
  text { fill: #f0f6fc }
  .check { fill: #56d364 }
}"""


def lines_of(output: str) -> list[str]:
    """Return the lines of the demo's output to draw, under its command."""
    return [FIRST, *output.partition(AFTER)[0].rstrip().splitlines()]


def draw(lines: list[str]) -> str:
    """Return an SVG of lines of text."""
    width = round(max(map(len, lines)) * WIDTH + 2 * MARGIN)
    height = len(lines) * HEIGHT + 2 * MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' width="{width}" height="{height}" role="img">',
            "<title>What make demo prints</title>",
            f"<style>\n{STYLE}\n</style>",
            f'<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>',
            *_texts(lines),
            "</svg>\n",
        ]
    )


def lines_in(picture: str) -> list[str]:
    """Return the lines that a picture shows."""
    lines = re.findall("<text .*?>(.*)</text>", picture)
    return [unescape(line) for line in lines]


def _texts(lines: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        y = MARGIN + number * HEIGHT + 15
        kinds = [kind for words, kind in CLASSES.items() if re.match(words, line)]
        kind = f' class="{kinds[0]}"' if kinds else ""
        # The length keeps columns straight in any font.
        length = f' textLength="{len(line) * WIDTH:.1f}"' if line else ""
        yield (
            f'<text x="{MARGIN}" y="{y}"{length}{kind}>'
            f"{escape(line, quote=False)}</text>"
        )


if __name__ == "__main__":
    sys.stdout.write(draw(lines_of(sys.stdin.read())))
