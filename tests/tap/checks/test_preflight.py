"""`--test`: each finding, as an option of the sandbox brings it about."""

import json
import logging
import re
import time
from datetime import UTC, datetime

import backoff
import pytest
from singer_sdk.exceptions import ConfigurationError, FatalAPIError

from sandbox.__main__ import parser
from sandbox.data import Dataset
from sandbox.faults import Plan
from sandbox.options import read_options
from sandbox.server import Sandbox
from sandbox.state import Options
from sandbox.store import Behaviour
from tap_akuity.checks.preflight import check
from tap_akuity.streams import AuditLogsStream
from tap_akuity.tap import TapAkuity
from tests.helpers.commands import last_line, run, write
from tests.helpers.running import config_for, stats


def in_days(days):
    moment = datetime.fromtimestamp(time.time() + days * 86_400, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


DAY = f"--records=1200 --days=1 --distribution=even --until={in_days(-0.5)}"
SOON, LATER = in_days(9.5), in_days(31.5)


@pytest.fixture
def findings(caplog, monkeypatch):
    """Return a function that checks a sandbox with options, and returns the lines."""
    monkeypatch.setattr(backoff, "full_jitter", lambda _: 0)
    caplog.set_level(logging.INFO, logger="tap-akuity")

    def find(options, *items, **settings):
        arguments = parser().parse_args(f"{DAY} {options}".split())
        with Sandbox(
            read_options(arguments, Dataset),
            behaviour=read_options(arguments, Behaviour),
            options=read_options(arguments, Options),
            faults=read_options(arguments, Plan, "fault_"),
        ) as sandbox:
            sandbox.store.add(items, at=time.time_ns())
            tap = TapAkuity(config=config_for(sandbox, **settings))
            caplog.clear()
            stream = tap.streams["audit_logs"]
            assert isinstance(stream, AuditLogsStream)
            check(stream, tap.logger, quick=True)
        lines = [f"{one.levelname} {one.getMessage()}" for one in caplog.records]
        return [line.removeprefix("INFO ") for line in lines]

    return find


def test_a_sync_that_can_work_is_described(findings):
    text = "\n".join(findings(f"--months-kept=6 --key-expires={LATER}"))
    text = re.sub(r"event: .*Z", "event: THEN", text)
    text = re.sub(r"(59|60)\d events in", "600 events in", text)
    assert text.splitlines() == [
        "Organization: Northwind.",
        "Searchable: 6 months; archives are kept: 1200 months.",
        "Audit log: can be read; 600 events in the last day.",
        "Newest event: THEN.",
        "Largest page: 1000 events, the full page.",
        "Clock: the local one agrees with the server's.",
        f"API key: expires on {LATER}, in 31 days.",
        "Role: owner, which is broader than needed: a custom role that may only get "
        "the audit log is enough.",
        "A sync can work.",
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", "API key: does not expire."),
        ("--organization-name=Süd\x1b[2J!", r"Organization: Süd \[2J!\."),
        ("--months-kept=1", "Searchable: 1 month; archives are kept: 1200 months."),
        (
            "--months-archived=0",
            "Searchable: 1200 months; archives are kept: not known",
        ),
        ("--account=unclear", "API key: expiry unknown.\nRole: not known."),
        (
            "--account=403",
            "Organization: not visible to this key.\nSearchable: not v",
        ),
        (
            "--account=403",
            "API key: expiry not visible to this key.\nRole: not vi",
        ),
        ("--no-date-header", "Clock: the server sends no `Date` header."),
        ("--until=2025-11-01T00:00:00Z", "can be read; 0 events in the last day."),
        ("--role=auditor", "Role: auditor; whether that is broader than needed is not"),
        ("--max-limit=250", "Largest page: 250 events of 1000 requested."),
        ("--records=7", "Largest page: not known, because there are only 7 events."),
        ("--clock-skew-seconds=-95", "is 9[456] seconds ahead of the server's, which"),
        ("--clock-skew-seconds=95", "local one is 9[456] seconds behind the server's"),
    ],
)
def test_each_finding_is_told(findings, options, expected):
    assert re.search(expected, "\n".join(findings(options)))


def test_findings_that_depend_on_settings(findings):
    found = findings("--over-limit=refuse", page_size=1100)
    assert "Largest page: 1000 events of 1100 requested." in found
    found = findings(f"--max-limit=1500 --key-expires={SOON}", page_size=1500)
    assert "Largest page: not known, because there are only 1200 events." in found
    warning = f"WARNING API key: expires on {SOON}, in 9 days: replace it before then."
    assert warning in found
    warning = "WARNING Newest event: there is none that match `actions`: creatd."
    assert warning in findings("", actions=["creatd"])
    found = findings("--older", origins=["mcp"])
    assert (
        "WARNING Filters: the server does not filter by `origins` or `actor_ips`, "
        "which it may be too old for: a sync does, but the figures here are of all "
        "events."
    ) in found


def test_neighbours_in_trouble_stop_no_sync(findings):
    found = findings("--account=503", max_retries=9)
    attempts = [line for line in found if line.startswith("WARNING Attempt ")]
    assert len(attempts) == 4
    organization, searchable = [line for line in found if line not in attempts][:2]
    assert organization.startswith("Organization: not known: Akuity is having tr")
    assert searchable == "Searchable: not known."
    assert found[-2:] == ["Role: not known.", "A sync can work."]


TWO_STREAMS = {
    "stream_maps": {"x": {"__source__": "audit_logs", "y": "action"}},
    "batch_config": {
        "encoding": {"format": "jsonl"},
        "storage": {"root": "file:///nowhere"},
    },
}
IMPOSSIBLE = [
    ("--role=member", {}, "^The API key may not read the audit log: give it a custom"),
    ("--fault-kinds=503", {"max_retries": 9}, r"^Akuity is.* Attempts: 3\.$"),
    ("--too-big-bytes=100", {}, "too big for Akuity to send"),
    ("", {"stream_maps": {"audit_logs": {"x": "1 / 0"}}}, "^Stream map `audit_logs`"),
    ("", TWO_STREAMS, "^Setting `stream_maps` makes 2 streams of `audit_logs`"),
]


@pytest.mark.parametrize(("options", "settings", "message"), IMPOSSIBLE)
def test_a_sync_that_could_not_work(findings, caplog, options, settings, message):
    with pytest.raises((ConfigurationError, FatalAPIError), match=message):
        findings(options, **settings)
    assert "A sync can work" not in caplog.text


def test_an_event_that_cannot_be_read(findings):
    with pytest.raises(FatalAPIError, match="so the sync stops before it: "):
        findings("", {"timestamp": "soon"})


def test_the_command_does_what_its_option_says(sandbox, tmp_path):
    config = write(tmp_path / "config.json", config_for(sandbox, start_date=None))
    result = run("--config", config, "--test=quick")
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert last_line(result) == "A sync can work."
    assert "failed" not in result.stderr
    assert "What the API does" not in result.stderr
    result = run("--config", config, "--test=schema")
    (line,) = result.stdout.splitlines()
    assert json.loads(line)["type"] == "SCHEMA"
    assert stats(sandbox)["requests"] == 2
    assert sum(stats(sandbox)["account"].values()) == 2
    result = run("--config", config, "--test")
    assert result.returncode == 0, result.stderr
    assert "A sync can work." in result.stderr
    assert "Please publish this list" in last_line(result)
