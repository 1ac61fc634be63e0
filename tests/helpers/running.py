"""Running the tap in this process, and reading what it wrote."""

import json
from typing import Any

from sandbox.server import Sandbox
from sandbox.state import Options
from tap_akuity.output.writer import LineWriter
from tap_akuity.tap import TapAkuity

Message = dict[str, Any]


class Output(LineWriter):
    """Keeps the messages as a target would read them."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def write_lines(self, lines):
        self.messages += [json.loads(line) for line in lines.splitlines()]


def config_for(sandbox, **settings):
    """Return settings for a sandbox, with a start date before all its events."""
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


def organization(name, items):
    """Make an organization with a key of its own."""
    options = Options(
        organization_id=name,
        api_key_id=f"k3y-id-of-{name}",
        api_key_secret=f"s3cr3t-of-{name}",
    )
    return Sandbox(items, options=options)


def sync(config, state=None, catalog=None, output=None):
    """Run the tap, and return the messages; if it fails, `output` still has them."""
    output = output or Output()
    tap = TapAkuity(config=config, state=state, catalog=catalog, message_writer=output)
    tap.sync_all()
    return output.messages


def records(messages):
    return [m["record"] for m in messages if m["type"] == "RECORD"]


def last_state(messages):
    return [m["value"] for m in messages if m["type"] == "STATE"][-1]


def bookmark(state):
    return state["bookmarks"]["audit_logs"].get("replication_key_value")


def stats(sandbox):
    """Return what the sandbox was asked for."""
    return sandbox.state.stats.report()
