"""What the README and the pages in `docs/` say."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from demo.warehouse import TABLE
from harness import ROOT
from tap_akuity.settings import SCHEMA
from tests.helpers.commands import BIN, write
from tests.helpers.running import config_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.server import Sandbox


MANUAL = ("README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
"""The pages for users, whose sections have a title each that no other has."""

NEEDS_DUCKDB = pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="DuckDB 1.2 has no wheels for Python 3.14"
)


def lines_with_headings(text: str) -> Iterator[tuple[str, int]]:
    """Give each line, and the level of the heading that it is; 0 if it is none."""
    fenced = False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        heading = None if fenced else re.match(r"(#+) ", line)
        yield line, len(heading[1]) if heading else 0


def read(page: str) -> str:
    """Give the text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def section(title: str) -> str:
    """Give what stands under a heading of any page, the headings below it included."""
    found: list[list[str]] = []
    for page in MANUAL:
        depth = 0
        for line, level in lines_with_headings(read(page)):
            if 0 < level <= depth:
                depth = 0
            if depth:
                found[-1].append(line)
            elif level and line.lstrip("# ") == title:
                depth = level
                found.append([])
    (lines,) = found
    assert lines, title
    return "\n".join(lines)


def blocks(text: str, language: str) -> list[str]:
    """Give what stands between fences."""
    pattern = rf"^( *)```{language}\n(.*?)^\1```$"
    found = re.findall(pattern, text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(one) for _, one in found]


def block(title: str, language: str, word: str) -> str:
    """Find the one block that has a word."""
    (found,) = (one for one in blocks(section(title), language) if word in one)
    return found


class Folder:
    """The folder that `Without Meltano` tells to make."""

    def __init__(self, path: Path, sandbox: Sandbox, **changed: str) -> None:
        self.path = path
        (path / "venv").mkdir()
        (path / "venv" / "bin").symlink_to(BIN)
        (config,) = blocks(section("Without Meltano"), "json")
        settings = json.loads(config)
        assert settings.keys() <= SCHEMA["properties"].keys()
        for name, value in settings.items():
            assert value.startswith("your-") is (name in SCHEMA["required"])
        changed = {"start_date": settings["start_date"]} | changed
        needed = config_for(sandbox, **changed)
        write(path / "config.json", needed)
        install = block("Without Meltano", "sh", "pip install").splitlines()
        (copy,) = (line.split() for line in install if line.startswith("cp "))
        assert (copy[0], copy[2]) == ("cp", "~/audit/")
        shutil.copy(ROOT / copy[1], path)

    def run(self, script: str, **environment: str) -> None:
        subprocess.run(
            ["bash", "-euc", script],  # noqa: S607
            cwd=self.path,
            env=os.environ | environment,
            check=True,
            capture_output=True,
            timeout=60,
        )

    def ask(self, query: str, name: str = "audit") -> list[Any]:
        import duckdb  # noqa: PLC0415

        path = str(self.path / f"{name}.duckdb")
        with duckdb.connect(path, read_only=True) as connection:
            return connection.execute(query).fetchall()

    def ids(self, name: str = "audit") -> list[str]:
        return [row[0] for row in self.ask(f"SELECT id FROM {TABLE}", name)]  # noqa: S608
