"""What a user does, done: the console script, pipes, the environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.data import Dataset
from sandbox.server import Sandbox
from tests.helpers.commands import TAP, last_line, messages, run, write
from tests.helpers.events import ids
from tests.helpers.running import bookmark, config_for, last_state, records

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t-of-the-key"


@pytest.mark.parametrize("command", [[TAP], [sys.executable, "-m", "tap_akuity"]])
def test_version(command: list[str]) -> None:
    result = run("--version", command=command)
    assert result.returncode == 0
    assert result.stdout.startswith("tap-akuity v0.")


def test_discover_needs_no_config() -> None:
    result = run("--discover")
    assert result.returncode == 0, result.stderr
    (stream,) = json.loads(result.stdout)["streams"]
    assert stream["tap_stream_id"] == "audit_logs"
    assert stream["key_properties"] == ["id"]
    assert stream["replication_key"] == "timestamp"
    assert stream["replication_method"] == "INCREMENTAL"
    assert stream["schema"]["additionalProperties"] is True


@pytest.mark.parametrize("format_name", ["json", "markdown"])
def test_about(format_name: str) -> None:
    result = run("--about", f"--format={format_name}")
    assert result.returncode == 0
    for setting in ("organization_id", "api_key_secret", "lookback_seconds"):
        assert setting in result.stdout


def test_a_sync_and_the_next(tmp_path: Path) -> None:
    data = list(Dataset(records=300))
    with Sandbox(data) as sandbox:
        config = write(tmp_path / "config.json", config_for(sandbox))
        first = run("--config", config)
        assert first.returncode == 0, first.stderr
        state = last_state(messages(first.stdout))
        second = run("--config", config, "--state", write(tmp_path / "state", state))
    emitted = [record["id"] for record in records(messages(first.stdout))]
    assert sorted(emitted) == sorted(ids(data))
    again = [record["id"] for record in records(messages(second.stdout))]
    assert 0 < len(again) < len(data)
    assert again == emitted[-len(again) :]
    assert bookmark(last_state(messages(second.stdout))) == bookmark(state)


def test_settings_from_the_environment() -> None:
    with Sandbox(Dataset(records=5)) as sandbox:
        environment = {
            f"TAP_AKUITY_{name.upper()}": str(value)
            for name, value in config_for(sandbox).items()
        }
        result = run("--config=ENV", **environment)
    assert len(records(messages(result.stdout))) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"api_key_secret": SECRET}, "Akuity refused the API key: check `api_key_id`"),
        (
            {"api_key_id": "viewer-key-id", "api_key_secret": "viewer-key-secret"},
            "The API key may not read the audit log: give it a custom role that may",
        ),
        ({"organization_id": "other"}, "There is no organization at http://127"),
        ({"api_url": "http://127.0.0.1:9"}, "Could not get a response from http://12"),
        ({"page_size": "x"}, "Setting `page_size` must be an integer from 1 to 10000."),
    ],
)
def test_errors_of_the_first_day(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with Sandbox(Dataset(records=5)) as sandbox:
        config = write(tmp_path / "config.json", config_for(sandbox, **changes))
        result = run("--config", config)
    assert result.returncode == 1
    assert last_line(result).startswith(message)
    assert "Traceback" not in result.stderr
    assert " | ERROR " not in result.stderr
    assert {m["type"] for m in messages(result.stdout)} <= {"SCHEMA", "STATE"}


def test_under_meltano_a_setting_that_is_missing_goes_into_its_env_file(
    tmp_path: Path,
) -> None:
    config = write(tmp_path / "config.json", {"api_key_id": "a", "api_key_secret": "b"})
    result = run("--config", config, MELTANO_PROJECT_ROOT=str(tmp_path))
    assert last_line(result) == (
        "Setting `organization_id` is missing: set TAP_AKUITY_ORGANIZATION_ID in "
        "`.env`, or run `meltano config set`."
    )


@pytest.mark.parametrize("one_pipe", [True, False])
def test_the_last_line_is_a_sentence_where_logs_are_json(
    tmp_path: Path, *, one_pipe: bool
) -> None:
    handler = {"class": "logging.StreamHandler", "formatter": "json"}
    formatter = {"()": "singer_sdk.logging.StructuredFormatter"}
    logs = write(
        tmp_path / "logging.json",
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": formatter},
            "handlers": {"default": handler},
            "root": {"level": "INFO", "handlers": ["default"]},
        },
    )
    done = subprocess.run(
        [TAP, "--config", write(tmp_path / "config.json", {"start_date": "soon"})],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if one_pipe else subprocess.PIPE,
        env=os.environ | {"SINGER_SDK_LOG_CONFIG": str(logs)},
        text=True,
        check=False,
    )
    *_, before, last = (done.stdout if one_pipe else done.stderr).splitlines()
    sentence = "Setting `organization_id` is missing: "
    if one_pipe:
        assert json.loads(before)["message"] == last
        assert last.startswith(sentence)
    else:
        assert json.loads(last)["message"].startswith(sentence)
