"""Running the tap in this process, and reading what it wrote."""

from __future__ import annotations

import json
from typing import Any

from sandbox.server import Sandbox
from sandbox.state import Options
from tap_akuity.output.writer import LineWriter
from tap_akuity.tap import TapAkuity

Message = dict[str, Any]


class Output(LineWriter):
    """Keeps the messages as a target would read them."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []

    def write_lines(self, lines: bytes) -> None:
        self.messages += [json.loads(line) for line in lines.splitlines()]


def config_for(sandbox: Sandbox, **settings: Any) -> dict[str, Any]:
    """Settings for a sandbox, with a start date before all its events."""
    config = {
        "organization_id": sandbox.organization_id,
        "api_key_id": sandbox.api_key_id,
        "api_key_secret": sandbox.api_key_secret,
        "api_url": sandbox.url,
        "start_date": "2020-01-01",
        "max_retries": 0,
        **settings,
    }
    return {name: value for name, value in config.items() if value is not None}


def organization(name: str, items: Any) -> Sandbox:
    """Make an organization with a key of its own."""
    options = Options(
        organization_id=name,
        api_key_id=f"k3y-id-of-{name}",
        api_key_secret=f"s3cr3t-of-{name}",
    )
    return Sandbox(items, options=options)


def sync(
    config: dict[str, Any],
    state: dict[str, Any] | None = None,
    catalog: dict[str, Any] | None = None,
) -> list[Message]:
    """Run the tap, and give the messages."""
    output = Output()
    tap = TapAkuity(config=config, state=state, catalog=catalog, message_writer=output)
    tap.sync_all()
    return output.messages


def records(messages: list[Message]) -> list[dict[str, Any]]:
    """Pick the records."""
    return [m["record"] for m in messages if m["type"] == "RECORD"]


def last_state(messages: list[Message]) -> dict[str, Any]:
    """Pick the last state."""
    return [m["value"] for m in messages if m["type"] == "STATE"][-1]


def bookmark(state: dict[str, Any]) -> str | None:
    """Pick the bookmark."""
    return state["bookmarks"]["audit_logs"].get("replication_key_value")


def stats(sandbox: Sandbox) -> dict[str, Any]:
    """Ask the sandbox what it was asked for."""
    return sandbox.state.stats.report()
