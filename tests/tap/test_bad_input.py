"""What is wrong ends the run with one sentence: the table of cases.

Settings have a table of their own in test_settings.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.exceptions import ConfigurationError, FatalAPIError

from sandbox.server import Sandbox
from tap_akuity.tap import TapAkuity
from tests.helpers.catalogs import CONFIG, catalog_without
from tests.helpers.commands import TAP, last_line, messages, run, write
from tests.helpers.events import item
from tests.helpers.running import Output, bookmark, config_for

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    with Sandbox([item(-30), item(-20)]) as sandbox:
        yield sandbox


def no_traceback(result: subprocess.CompletedProcess[str]) -> bool:
    return "Traceback" not in result.stderr and "File " not in result.stderr


def changed_catalog(**changes: Any) -> dict[str, Any]:
    catalog = catalog_without()
    stream = catalog["streams"][0]
    for entry in stream["metadata"]:
        if entry["breadcrumb"] == ["properties", changes.get("deselected")]:
            entry["metadata"] = {"inclusion": "available", "selected": False}
    stream["schema"]["properties"].pop(changes.get("removed"), None)
    stream.update(changes.get("stream", {}))
    return catalog


CATALOGS = {
    "another stream": (
        changed_catalog(stream={"tap_stream_id": "users", "stream": "users"}),
        "The catalog has no stream `audit_logs`: create it with --discover.",
    ),
    "no replication key": (
        changed_catalog(deselected="timestamp"),
        "The catalog deselects `timestamp` of `audit_logs`, without which nothing can "
        "be loaded safely: select it.",
    ),
    "no key property": (
        changed_catalog(deselected="id"),
        "The catalog deselects `id` of `audit_logs`, without which nothing can be "
        "loaded safely: select it.",
    ),
    "key property removed": (
        changed_catalog(removed="id"),
        "The catalog deselects `id` of `audit_logs`, without which nothing can be "
        "loaded safely: select it.",
    ),
    "another replication key": (
        changed_catalog(stream={"replication_key": "count"}),
        "The catalog has another replication key of `audit_logs` than `timestamp`: "
        "restore it.",
    ),
    "full table": (
        changed_catalog(stream={"replication_method": "FULL_TABLE"}),
        "The catalog asks for FULL_TABLE of `audit_logs`, which can only be read as "
        "INCREMENTAL: remove that.",
    ),
    "nothing selected": (
        catalog_without([]),
        "The catalog does not select `audit_logs`, so that nothing would be read: "
        "select it (with Meltano, add `audit_logs.*` to `select`).",
    ),
}


@pytest.mark.parametrize("case", CATALOGS)
def test_catalogs(case: str) -> None:
    catalog, message = CATALOGS[case]
    with pytest.raises(ConfigurationError) as caught:
        TapAkuity(config=CONFIG, catalog=catalog)
    assert str(caught.value) == message


def test_what_is_automatic_stays_selected(served: Sandbox, tmp_path: Path) -> None:
    # Meltano marks all that its `select` does not name as not selected, keys included.
    catalog = catalog_without(["properties", "id"], ["properties", "timestamp"])
    path = write(tmp_path / "catalog.json", catalog)
    config = write(tmp_path / "config.json", config_for(served))
    result = run("--config", config, "--catalog", path)
    assert result.returncode == 0, result.stderr
    (first, _) = [m for m in messages(result.stdout) if m["type"] == "RECORD"]
    assert first["record"].keys() >= {"id", "timestamp"}


STATES = {
    "not JSON": (
        "state",
        "The state file {path} is not valid JSON: correct it (Expecting value: line 1 "
        "column 1 (char 0)).",
    ),
    "empty": (
        "",
        "The state file {path} is not valid JSON: correct it (Expecting value: line 1 "
        "column 1 (char 0)).",
    ),
    "a list": ("[]", "The state file {path} is not a JSON object: correct it."),
    "no time": (
        '{"bookmarks": {"audit_logs": {"replication_key_value": "soon"}}}',
        "`replication_key_value` of `audit_logs` in the state is not a valid date or "
        "time: write it as 2025-01-31T08:30:00Z, or remove the state to start over.",
    ),
}


@pytest.mark.parametrize("case", STATES)
def test_states(served: Sandbox, tmp_path: Path, case: str) -> None:
    text, message = STATES[case]
    path = tmp_path / "state.json"
    path.write_text(text, encoding="utf-8")
    config = write(tmp_path / "config.json", config_for(served))
    result = run("--config", config, "--state", path)
    assert last_line(result) == message.replace("{path}", str(path))
    assert result.returncode == 1
    assert result.stdout == ""
    assert no_traceback(result)


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        ("config", "fifo"),
        ("state", "fifo"),
        ("catalog", "fifo"),
        ("config", "device"),
        ("config", "folder"),
    ],
)
def test_what_is_not_a_regular_file_is_refused(
    served: Sandbox, tmp_path: Path, option: str, kind: str
) -> None:
    path = Path("/dev/zero") if kind == "device" else tmp_path / "it"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    config = write(tmp_path / "config.json", config_for(served))
    result = run("--config", config, f"--{option}", path)
    assert last_line(result) == (
        f"The {option} file {path} is not a regular file: write the {option} to one."
    )
    assert result.returncode == 1
    assert no_traceback(result)


@pytest.mark.parametrize(
    ("option", "content", "message"),
    [
        ("config", b"\xff\xfe\x00", "cannot be read: check its name ("),
        (
            "config",
            b'{"a": NaN}',
            "is not valid JSON: correct it (NaN is not a JSON nu",
        ),
        ("state", b'{"a": Infinity}', "is not valid JSON: correct it (Infinity is not"),
        ("catalog", b"[" * 100_000, "is not valid JSON: correct it ("),
        ("catalog", b"9" * 10_000, "is not valid JSON: correct it ("),
        ("catalog", b"[]", "is not a JSON object: correct it."),
    ],
)
def test_a_file_is_named_whatever_is_in_it(
    served: Sandbox, tmp_path: Path, option: str, content: bytes, message: str
) -> None:
    path = tmp_path / "it\x1b[31m\n"
    path.write_bytes(content)
    config = write(tmp_path / "config.json", config_for(served))
    result = run("--config", config, f"--{option}", path)
    assert last_line(result).startswith(
        f"The {option} file {tmp_path}/it [31m {message}"
    )
    assert result.returncode == 1


def test_what_the_members_of_a_state_are_called_is_shown_safely(
    served: Sandbox, tmp_path: Path
) -> None:
    state = {"bookmarks": {"\x1b]0;owned\x07\n" + "x" * 1000: 5}}
    config = write(tmp_path / "config.json", config_for(served))
    result = run("--config", config, "--state", write(tmp_path / "state", state))
    assert last_line(result).startswith("The bookmark of `]0;owned xxx")
    assert len(last_line(result)) < 500


def test_a_file_env_that_changes_the_url_is_named(tmp_path: Path) -> None:
    import singer_sdk.configuration  # noqa: PLC0415

    # It stands above the SDK's own file, so here is a copy of the SDK.
    source = Path(singer_sdk.configuration.__file__).parents[1]
    shutil.copytree(source, tmp_path / "packages" / "singer_sdk")
    env_file = tmp_path / ".env"
    env_file.write_text("TAP_AKUITY_API_URL=http://127.0.0.1:9\n", encoding="utf-8")
    settings = {"ORGANIZATION_ID": "o", "API_KEY_ID": "k", "API_KEY_SECRET": "s"}
    result = run(
        "--config=ENV",
        PYTHONPATH=str(tmp_path / "packages"),
        TAP_AKUITY_MAX_RETRIES="0",
        **{f"TAP_AKUITY_{name}": value for name, value in settings.items()},
    )
    warning = (
        f"Setting `api_url` is http://127.0.0.1:9, as {env_file} says: remove it there "
        "if the API key is not meant for that host."
    )
    assert warning in result.stderr
    assert "http://127.0.0.1:9: check `api_url`" in last_line(result)


CONFIGS: dict[str, tuple[str | bytes | None, str]] = {
    "not JSON": (
        "{'a': 1}",
        "The config file {path} is not valid JSON: correct it (Expe",
    ),
    "a list": ("[]", "The config file {path} is not a JSON object: correct it."),
    "binary": (b"\xff\xfe", "The config file {path} cannot be read: check its name ("),
    "missing": (None, "The config file {path} cannot be read: check its name ([Errno "),
}


@pytest.mark.parametrize(
    ("case", "option"),
    [
        ("not JSON", []),
        ("a list", ["--test"]),
        ("binary", ["--discover"]),
        ("missing", []),
    ],
)
def test_config_files(tmp_path: Path, case: str, option: list[str]) -> None:
    text, message = CONFIGS[case]
    path = tmp_path / "config.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    result = run("--config", path, *option)
    assert last_line(result).startswith(message.replace("{path}", str(path)))
    assert result.returncode == 1
    assert result.stdout == ""
    assert no_traceback(result)


def test_settings_from_the_command_line(tmp_path: Path) -> None:
    config = {"organization_id": "o", "api_key_id": "k", "page_size": 0}
    for option in ([], ["--test"]):
        result = run("--config", write(tmp_path / "config.json", config), *option)
        assert last_line(result) == (
            "Setting `api_key_secret` is missing: set it in the config file, or as "
            "TAP_AKUITY_API_KEY_SECRET with --config=ENV. Setting `page_size` must be "
            "an integer from 1 to 10000."
        )
        assert result.returncode == 1
        assert no_traceback(result)


def test_a_number_in_the_environment() -> None:
    result = run("--config=ENV", TAP_AKUITY_PAGE_SIZE="many")
    assert (
        last_line(result) == "Setting `page_size` must be an integer from 1 to 10000."
    )
    assert result.returncode == 1
    assert no_traceback(result)


RECORDS: dict[str, tuple[dict[str, Any], str]] = {
    "no timestamp": (
        {},
        "Object missing required field `timestamp`",
    ),
    "null": ({"timestamp": None}, "Expected `str`, got `null` - at `$.timestamp`"),
    "no time": (
        {"timestamp": "soon"},
        "'soon' is not a timestamp",
    ),
    "no zone": (
        {"timestamp": "2025-01-01 00:00:00"},
        "'2025-01-01 00:00:00' lacks a time zone or a time of day",
    ),
    "a type": ({"action": 5}, "Expected `str | null`, got `int` - at `$.action`"),
    "a shape": (
        {"object": []},
        "Expected `object | null`, got `array` - at `$.object`",
    ),
    "deep inside": (
        {"object": {"id": {"kind": True}}},
        "Expected `str | null`, got `bool` - at `$.object.id.kind`",
    ),
    "a count": ({"count": 1.5}, "Expected `int | null`, got `float` - at `$.count`"),
    "the last time": (
        {"lastOccurredTimestamp": "later"},
        "lastOccurredTimestamp: 'later' is not a timestamp",
    ),
}


@pytest.mark.parametrize("case", RECORDS)
def test_records(case: str) -> None:
    change, message = RECORDS[case]
    good, bad = item(-40), item(-30) | change
    if case == "no timestamp":
        del bad["timestamp"]
    with Sandbox([good]) as sandbox:
        sandbox.store.add([bad], at=time.time_ns() - 10**9)
        output = Output()
        tap = TapAkuity(config=config_for(sandbox), message_writer=output)
        with pytest.raises(FatalAPIError) as caught:
            tap.sync_all()
    said = str(caught.value)
    assert said.startswith("An event from 2019-12-31T23:59:59.999Z to 20")
    assert said.endswith(
        f"cannot be read, so the sync stops before it: {message} - in item 0 of the "
        "page."
    )
    states = [m["value"] for m in output.messages if m["type"] == "STATE"]
    assert not any(bookmark(state) for state in states if state)


def test_a_traceback_only_for_debugging_and_the_sentence_last(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    assert no_traceback(run("--config", path))
    result = run("--config", path, TAP_AKUITY_LOGLEVEL="DEBUG")
    assert "Traceback" in result.stderr
    assert last_line(result).startswith(f"The config file {path} cannot be read: check")


def test_a_target_that_ends(served: Sandbox, tmp_path: Path) -> None:
    config = write(tmp_path / "config.json", config_for(served))
    with subprocess.Popen(
        [TAP, "--config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as tap:
        assert tap.stdout is not None
        tap.stdout.close()
        assert tap.stderr is not None
        said = tap.stderr.read().splitlines()
        assert tap.wait(timeout=20) == 1
    assert said[-1].endswith(
        "Could not write to the target: look at its own messages (Broken pipe)."
    )
    assert not any("Traceback" in line for line in said)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk(served: Sandbox, tmp_path: Path) -> None:
    config = write(tmp_path / "config.json", config_for(served))
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        result = subprocess.run(
            [sys.executable, "-m", "tap_akuity", "--config", str(config)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=os.environ,
            timeout=60,
        )
    assert result.returncode == 1
    assert last_line(result).endswith("(No space left on device).")
    assert "Traceback" not in result.stderr
