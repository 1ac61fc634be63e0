"""What the README and the pages in `docs/` say."""

import gzip
import json
import re
import shutil
import subprocess
import textwrap

import duckdb

from scripts import ROOT
from scripts.warehouse import TABLE
from tap_akuity.settings import SCHEMA
from tests.helpers.commands import BIN, write
from tests.helpers.events import events_of
from tests.helpers.running import config_for

MANUAL = ("README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
"""The pages for users; no two of their sections have the same title."""


def read(page):
    return (ROOT / page).read_text("utf-8")


def section(title):
    """Return what a section of any page holds, with the sections below it."""
    found: list[list[str]] = []
    for page in MANUAL:
        depth, fenced = 0, False
        for line in read(page).splitlines():
            fenced ^= line.lstrip().startswith("```")
            heading = None if fenced else re.match(r"(#+) (.*)", line)
            if heading and len(heading[1]) <= depth:
                depth = 0
            if depth:
                found[-1].append(line)
            elif heading and heading[2] == title:
                depth = len(heading[1])
                found.append([])
    (lines,) = found
    return "\n".join(lines)


def blocks(text, language):
    """Return the fenced blocks in a language."""
    pattern = rf"^( *)```{language}\n(.*?)^\1```$"
    found = re.findall(pattern, text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(one) for _, one in found]


def block(title, language, word=""):
    """Return the one block of a section that has a word."""
    (found,) = (one for one in blocks(section(title), language) if word in one)
    return found


def bash(script, folder, code=0):
    """Run a script that exits with a code, and return what it wrote to stderr."""
    done = subprocess.run(
        ["bash", "-euc", script],  # noqa: S607
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == code, done.stderr
    return done.stderr


class Folder:
    """The folder that "Without Meltano" says to create, named `audit`."""

    def __init__(self, path):
        self.path = path

    def prepare(self, sandbox, **changed):
        """Do as the section says, up to the first run."""
        (self.path / "venv").mkdir()
        (self.path / "venv" / "bin").symlink_to(BIN)
        settings = json.loads(block("Without Meltano", "json"))
        for name, value in settings.items():
            assert value.startswith("your-") is (name in SCHEMA["required"])
        changed = {"start_date": settings["start_date"]} | changed
        write(self.path / "config.json", config_for(sandbox, **changed))
        (script,) = re.findall(r"^cp (\S+) ~/audit/$", read("README.md"), re.MULTILINE)
        shutil.copy(ROOT / script, self.path)
        return self

    def fill(self, items):
        """Load events without a target, as a page lets DuckDB do it by itself."""
        items = list(items)
        page = json.dumps(items).encode()
        lines = [one.json for one in events_of(page, "sandbox", most=len(items))]
        (self.path / "audit-1").write_bytes(gzip.compress(b"\n".join(lines), 1))
        sql = block("A large backfill, by DuckDB's own reader", "sql")
        self.ask(sql.replace("batches/", f"{self.path}/"))
        return self

    def run(self, script="bash sync.sh", code=0):
        return bash(script, self.path, code)

    def ask(self, query, name="audit"):
        """Run SQL on a DuckDB file of the folder."""
        with duckdb.connect(str(self.path / f"{name}.duckdb")) as connection:
            return connection.execute(query).fetchall()

    def ids(self, name="audit"):
        """Return the ids of the rows, sorted."""
        rows = self.ask(f"SELECT id FROM {TABLE} ORDER BY id", name)  # noqa: S608
        return [one for (one,) in rows]

    def state(self):
        return json.loads((self.path / "audit.state.json").read_bytes())
