"""`--test`: each finding, as an option of the sandbox brings it about."""

from __future__ import annotations

import json
import logging
import re
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import backoff
import pytest
from singer_sdk.exceptions import ConfigurationError, FatalAPIError

from sandbox.__main__ import parser
from sandbox.data import Dataset
from sandbox.faults import Faults, Plan
from sandbox.options import read_options
from sandbox.server import Sandbox
from sandbox.state import Options
from sandbox.store import Behaviour
from tap_akuity.api.errors import PageTooBigError
from tap_akuity.check import check
from tap_akuity.output.maps import StreamMapError
from tap_akuity.streams import AuditLogsStream
from tap_akuity.tap import TapAkuity
from tests.helpers.commands import last_line, run, write
from tests.helpers.running import config_for

if TYPE_CHECKING:
    from pathlib import Path

LOGGER = logging.getLogger("tap-akuity")
DAY = 86_400


def sandbox_of(*options: str) -> Sandbox:
    """Serve as `python -m sandbox` does with these options."""
    arguments = parser().parse_args(options)
    return Sandbox(
        read_options(arguments, Dataset),
        behaviour=read_options(arguments, Behaviour),
        options=read_options(arguments, Options),
    )


def findings(
    caplog: pytest.LogCaptureFixture, *options: str, **settings: Any
) -> list[tuple[str, str]]:
    """Check against a sandbox; give the level and the text of each line."""
    caplog.set_level(logging.INFO, logger="tap-akuity")
    with sandbox_of(*options) as sandbox:
        tap = TapAkuity(config=config_for(sandbox, **settings))
        stream = tap.streams["audit_logs"]
        assert isinstance(stream, AuditLogsStream)
        caplog.clear()
        check(stream, LOGGER)
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def in_days(days: float) -> str:
    moment = datetime.fromtimestamp(time.time() + days * DAY, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def test_all_findings(caplog: pytest.LogCaptureFixture) -> None:
    until = in_days(-0.5)
    found = findings(
        caplog, f"--until={until}", "--records=1200", "--months-kept=6", "--days=9"
    )
    count = re.compile(r"[0-9]+ events in the last day")
    assert [(level, count.sub("N events", text)) for level, text in found] == [
        ("INFO", "Organization: Northwind."),
        ("INFO", "Searchable: 6 months; archives are kept: 1200 months."),
        ("INFO", "Audit log: can be read; N events."),
        ("INFO", found[3][1]),
        ("INFO", "Largest page: 1000 events, as many as were asked for."),
        ("INFO", "Clock: the local one agrees with the server's."),
        ("INFO", "API key: does not expire."),
        (
            "INFO",
            "Role: owner, which is broader than needed: a custom role that may only "
            "get the audit log is enough.",
        ),
        ("INFO", "A sync can work."),
    ]
    assert found[3][1].startswith("Newest event: 20")
    assert found[3][1] < f"Newest event: {until}"


NOT_VISIBLE = "not visible to this key"
NOTHING_KNOWN = [
    ("INFO", f"Organization: {NOT_VISIBLE}."),
    ("INFO", f"Searchable: {NOT_VISIBLE}."),
    ("INFO", f"API key: when it expires is {NOT_VISIBLE}."),
    ("INFO", f"Role: {NOT_VISIBLE}."),
]
SOON = in_days(9.5)
LATER = in_days(31.5)
FINDINGS: dict[str, tuple[list[str], dict[str, Any], list[tuple[str, str]]]] = {
    "another name": (
        ["--organization-name=Süd\x1b[2J\n!"],
        {},
        [("INFO", "Organization: Süd [2J !.")],
    ),
    "one month": (
        ["--months-kept=1", "--months-archived=0"],
        {},
        [("INFO", "Searchable: 1 month; archives are kept: not known.")],
    ),
    "a restricted key": (["--neighbours=403"], {}, NOTHING_KNOWN),
    "hidden neighbours": (["--neighbours=404"], {}, NOTHING_KNOWN),
    "nonsense": (
        ["--neighbours=unclear"],
        {},
        [
            ("INFO", "Organization: Northwind."),
            ("INFO", "Searchable: not known; archives are kept: not known."),
            ("INFO", "API key: when it expires is not known."),
            ("INFO", "Role: not known."),
        ],
    ),
    "an older server": (
        ["--older"],
        {},
        [
            ("INFO", "Searchable: not known; archives are kept: not known."),
            ("INFO", f"API key: when it expires is {NOT_VISIBLE}."),
        ],
    ),
    "a quiet day": (
        ["--until=2025-11-01T00:00:00Z", "--records=50"],
        {},
        [("INFO", "Audit log: can be read; 0 events in the last day.")],
    ),
    "no event": (
        ["--records=0"],
        {},
        [
            ("INFO", "Audit log: can be read; 0 events in the last day."),
            ("WARNING", "Newest event: there is none."),
            ("INFO", "Largest page: not known, because there are only 0 events."),
        ],
    ),
    "no event that matches": (
        [],
        {"actions": ["creatd"]},
        [
            (
                "INFO",
                "Audit log: can be read; 0 events in the last day that match "
                "`actions`: creatd.",
            ),
            ("WARNING", "Newest event: there is none that match `actions`: creatd."),
        ],
    ),
    "a server that does not filter": (
        ["--older"],
        {"origins": ["mcp"]},
        [
            (
                "WARNING",
                "Filters: the server does not filter by `origins` or `actor_ips`, "
                "which it may be too old for: a sync does, but the figures here are of "
                "all events.",
            )
        ],
    ),
    "small pages": (
        ["--max-limit=100"],
        {},
        [("INFO", "Largest page: 100 events, where 1000 were asked for.")],
    ),
    "a limit that is refused": (
        ["--max-limit=300", "--over-limit=refuse"],
        {},
        [("INFO", "Largest page: 250 events, where 1000 were asked for.")],
    ),
    "large pages": (
        ["--max-limit=1500"],
        {"page_size": 1500},
        [("INFO", "Largest page: 1500 events, as many as were asked for.")],
    ),
    "few events": (
        ["--records=7"],
        {},
        [("INFO", "Largest page: not known, because there are only 7 events.")],
    ),
    "no clock": (
        ["--no-date-header"],
        {},
        [("INFO", "Clock: the server's is not known.")],
    ),
    "a key that expires soon": (
        [f"--key-expires={SOON}"],
        {},
        [
            (
                "WARNING",
                f"API key: expires on {SOON}, in 9 days: replace it before then.",
            )
        ],
    ),
    "a key that expires later": (
        [f"--key-expires={LATER}"],
        {},
        [("INFO", f"API key: expires on {LATER}, in 31 days.")],
    ),
    "a custom role": (
        ["--role=auditor"],
        {},
        [("INFO", "Role: auditor; whether that is broader than needed is not known.")],
    ),
}


@pytest.mark.parametrize("case", FINDINGS)
def test_findings(case: str, caplog: pytest.LogCaptureFixture) -> None:
    options, settings, expected = FINDINGS[case]
    found = findings(caplog, *options, **settings)
    for line in expected:
        assert line in found
    assert found[-1] == ("INFO", "A sync can work.")
    assert {level for level, _ in found} <= {"INFO", "WARNING"}
    is_warned = any(level == "WARNING" for level, _ in expected)
    assert any(level == "WARNING" for level, _ in found) == is_warned
    assert "failed" not in caplog.text


@pytest.mark.parametrize(
    ("skew", "direction"), [(-90, "ahead of"), (90, "behind"), (-4, "ahead of")]
)
def test_clocks(skew: int, direction: str, caplog: pytest.LogCaptureFixture) -> None:
    found = findings(caplog, f"--clock-skew-seconds={skew}")
    (text,) = [text for _, text in found if text.startswith("Clock")]
    said = re.fullmatch(
        rf"Clock: the local one is (\d+) seconds {direction} the server's, which is "
        "used instead.",
        text,
    )
    assert said
    assert abs(int(said[1]) - abs(skew)) <= 1


def test_neighbours_in_trouble_stop_no_sync(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "full_jitter", lambda _: 0)
    found = findings(caplog, "--neighbours=503", max_retries=9)
    assert found[-1] == ("INFO", "A sync can work.")
    assert "Organization: not known: Akuity is having trouble" in caplog.text
    assert sum(text.startswith("Attempt ") for _, text in found) == 4
    assert ("INFO", "Searchable: not known.") in found
    assert ("INFO", "Role: not known.") in found


IMPOSSIBLE: dict[str, tuple[list[str], dict[str, Any], type[Exception], str]] = {
    "a role that may not": (
        ["--role=member"],
        {},
        FatalAPIError,
        "^The API key may not read the audit log: give it a custom role",
    ),
    "an expired key": (
        ["--key-expires=2025-01-01T00:00:00Z"],
        {},
        FatalAPIError,
        "^Akuity refused the API key: check",
    ),
    "another organization": (
        [],
        {"organization_id": "other"},
        FatalAPIError,
        "^There is no organization at",
    ),
    "nobody there": (
        [],
        {"api_url": "http://127.0.0.1:9"},
        FatalAPIError,
        "^Could not get a response from",
    ),
    "events too big": (
        ["--too-big-bytes=100"],
        {},
        PageTooBigError,
        "is too big to be sent",
    ),
    "a map that fails": (
        [],
        {"stream_maps": {"audit_logs": {"x": "1 / 0"}}},
        StreamMapError,
        "^Stream map `audit_logs`",
    ),
    "batches of two streams": (
        [],
        {
            "stream_maps": {"x": {"__source__": "audit_logs", "y": "action"}},
            "batch_config": {
                "encoding": {"format": "jsonl"},
                "storage": {"root": "file:///nowhere"},
            },
        },
        ConfigurationError,
        "^Setting `stream_maps` makes 2 streams of `audit_logs`",
    ),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_a_sync_that_could_not_work(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    options, settings, error, message = IMPOSSIBLE[case]
    with pytest.raises(error, match=message):
        findings(caplog, *options, **settings)
    assert "A sync can work" not in caplog.text


def test_trouble_is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "full_jitter", lambda _: 0)
    with sandbox_of() as sandbox:
        sandbox.state.faults = Faults(Plan(kinds=("503",)))
        config = config_for(sandbox, max_retries=9)
        stream = TapAkuity(config=config).streams["audit_logs"]
        assert isinstance(stream, AuditLogsStream)
        with pytest.raises(FatalAPIError, match=r" Attempts: 3\.$"):
            check(stream, LOGGER)


def test_an_event_that_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    with sandbox_of() as sandbox:
        sandbox.store.add([{"timestamp": "soon"}], at=time.time_ns())
        stream = TapAkuity(config=config_for(sandbox)).streams["audit_logs"]
        assert isinstance(stream, AuditLogsStream)
        with pytest.raises(FatalAPIError, match=r"^An event cannot be read, so a sync"):
            check(stream, LOGGER)
    assert "A sync can work" not in caplog.text


@pytest.mark.parametrize(
    "order", [["--config", "", "--test"], ["--test", "--config", ""]]
)
def test_the_command(tmp_path: Path, order: list[str]) -> None:
    with Sandbox(Dataset(records=5)) as sandbox:
        settings = config_for(sandbox, start_date=None)
        path = write(tmp_path / "config.json", settings)
        options = [option or str(path) for option in order]
        result = run(*options, TAP_AKUITY_LOGLEVEL="DEBUG")
        assert result.returncode == 0, result.stderr
        assert result.stdout == ""
        assert last_line(result) == "A sync can work."
        for secret in (sandbox.api_key_id, sandbox.api_key_secret):
            assert secret not in result.stderr
        shown = [line for line in result.stderr.splitlines() if "| DEBUG" not in line]
        assert len(shown) >= 9
        assert not any("failed" in line or "ERROR" in line for line in shown)
        assert set(re.findall(r'"([A-Z]+) /\S+ HTTP', result.stderr)) == {"GET"}
        report = sandbox.state.stats.report()
        assert report["requests"] == 2
        assert sum(report["neighbours"].values()) == 2
        write(path, settings | {"api_key_secret": "no"})
        result = run(*options)
    assert result.returncode == 1
    assert "Akuity refused the API key" in last_line(result)
    assert "A sync can work" not in result.stderr


def test_settings_that_are_wrong_and_the_schema(tmp_path: Path) -> None:
    with Sandbox(Dataset(records=5)) as sandbox:
        path = write(tmp_path / "config.json", config_for(sandbox))
        result = run("--config", path, "--test=schema")
        assert result.returncode == 0
        (line,) = result.stdout.splitlines()
        assert json.loads(line)["type"] == "SCHEMA"
        assert sandbox.state.stats.report()["requests"] == 0
    result = run("--test")
    assert result.returncode == 1
    assert last_line(result).startswith("Setting `organization_id` is missing")
    assert "Check what a sync needs" in run("--help").stdout
