"""The commands in `docs/faq.md` do what they are said to do."""

import re

import pytest

from sandbox.data import Dataset
from sandbox.server import Sandbox
from tests.helpers.readme import NEEDS_DUCKDB, Folder, block, section
from tests.helpers.running import config_for, last_state, stats, sync

pytestmark = NEEDS_DUCKDB

LOST = "I lost the state. What now?"
COSTS = "What does it cost in requests?"
PROOF = "How do I prove that nothing is missing?"
FIELD = "Can I see who changed a field?"
FOUR = "How do I load a year on four machines, without Airflow?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with Sandbox(Dataset(records=2000, days=400)) as sandbox:
        folder = Folder(tmp_path_factory.mktemp("audit"), sandbox)
        folder.run()
        names = ("ORGANIZATION_ID", "API_KEY_ID", "API_KEY_SECRET", "API_URL")
        lines = [f"TAP_AKUITY_{n}={config_for(sandbox)[n.lower()]}\n" for n in names]
        (folder.path / ".env").write_text("".join(lines), encoding="utf-8")
        yield folder


def test_the_counts_of_a_day(folder):
    days = folder.ask(block(PROOF, "sql"))
    assert len(days) == 7
    for day, events in days[1:3]:
        script = block(PROOF, "sh").replace("2026-01-01", str(day))
        folder.run(f"({script}) > counted")
        counted = (folder.path / "counted").read_text("utf-8")
        assert re.findall(r"\d+", counted) == [str(events)]


def test_who_changed_a_field(folder):
    rows = folder.ask(block(FIELD, "sql"))
    assert len(rows) == 10
    assert all('"image"' in patch for *_, patch in rows)


def test_a_lost_state(folder):
    before = folder.ids()
    (folder.path / "audit.state.json").unlink()
    folder.run(block(LOST, "sh"))
    assert folder.ids() == before


def test_a_quarter(folder):
    script = block(FOUR, "sh")
    folder.run(script)
    (year,) = folder.ask("SELECT min(timestamp), max(timestamp) FROM akuity.audit_logs")
    (quarter,) = folder.ask(
        "SELECT min(timestamp), max(timestamp) FROM akuity.audit_logs", "2026-q1"
    )
    assert year[0] == quarter[0]
    assert str(quarter[1]) < script.split()[-1] <= str(year[1])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_requests(number):
    cells = re.findall(r"^\| (.*) \| ([\d,]+) \|$", section(COSTS), re.MULTILINE)
    what, requests = (cell.replace(",", "") for cell in cells[number])
    records = 0 if "nothing" in what else int(what.split()[0])
    with Sandbox(Dataset(records=records or 10, days=330)) as sandbox:
        config = config_for(sandbox, page_size=1000)
        state = last_state(sync(config))
        if not records:
            sandbox.state.stats.reset()
            sync(config, state)
        made = stats(sandbox)["requests"] + sum(stats(sandbox)["account"].values())
    assert made == pytest.approx(int(requests), rel=0.1)
