"""What is wrong ends the run with one sentence.

Settings and states have tables of their own, in test_settings.py and test_state.py.
"""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import singer_sdk.configuration
from singer_sdk.exceptions import ConfigurationError, FatalAPIError

from sandbox.server import Sandbox
from tap_akuity.tap import TapAkuity
from tests.helpers.catalogs import CONFIG, catalog_without
from tests.helpers.commands import TAP, last_line, run, start, write
from tests.helpers.events import item
from tests.helpers.running import Output, bookmark, config_for, sync


def catalog_with(deselected=None, removed=None, **changes):
    catalog = catalog_without(["properties", deselected])
    (stream,) = catalog["streams"]
    for entry in stream["metadata"]:
        entry["metadata"]["inclusion"] = "available"
    stream["schema"]["properties"].pop(removed, None)
    stream.update(changes)
    return catalog


CATALOGS = {
    "The catalog has no stream `audit_logs`: create it with --discover.": catalog_with(
        tap_stream_id="users", stream="users"
    ),
    "The catalog does not select `audit_logs`, so that nothing would be read: select "
    "it (with Meltano, add `audit_logs.*` to `select`).": catalog_without([]),
    "The catalog deselects `timestamp` of `audit_logs`, without which nothing can be "
    "loaded safely: select it.": catalog_with(deselected="timestamp"),
    "The catalog deselects `id` of `audit_logs`, without which nothing can be loaded "
    "safely: select it.": catalog_with(removed="id"),
    "The catalog has another replication key of `audit_logs` than `timestamp`: restore "
    "it.": catalog_with(replication_key="count"),
    "The catalog asks for FULL_TABLE of `audit_logs`, which can only be read as "
    "INCREMENTAL: remove that.": catalog_with(replication_method="FULL_TABLE"),
}


@pytest.mark.parametrize("sentence", CATALOGS)
def test_a_catalog_that_would_lose_data_is_refused(sentence):
    with pytest.raises(ConfigurationError) as caught:
        TapAkuity(config=CONFIG, catalog=CATALOGS[sentence])
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("config", None, "cannot be read: check its name ([Errno 2] No such file or"),
        ("config", b"\xff\xfe\x00", "cannot be read: check its name ('utf-8' codec"),
        ("config", "FIFO", "is not a regular file: write the config to one."),
        ("state", "FIFO", "is not a regular file: write the state to one."),
        ("catalog", "FIFO", "is not a regular file: write the catalog to one."),
        ("config", b'{"a": NaN}', "is not valid JSON: correct it (NaN is not a JSON n"),
        ("state", b"", "is not valid JSON: correct it (Expecting value: line 1 column"),
        ("catalog", b"[" * 100_000, "is not valid JSON: correct it ("),
        ("catalog", b"9" * 10_000, "is not valid JSON: correct it ("),
        ("state", b"[]", "is not a JSON object: correct it."),
    ],
)
def test_a_file_is_named_whatever_is_in_it(tmp_path, option, content, said):
    path = tmp_path / "it\x1b[31m\n"
    if content == "FIFO":
        os.mkfifo(path)
    elif content is not None:
        path.write_bytes(content)
    config = write(tmp_path / "config.json", CONFIG)
    arguments = [f"--config={config}", f"--{option}={path}"]
    with pytest.raises(ConfigurationError) as caught:
        TapAkuity.cli(arguments, standalone_mode=False)
    named = f"The {option} file {tmp_path}/it [31m "
    assert str(caught.value).startswith(named + said)


FILES = {
    "config": CONFIG,
    "incomplete": {"organization_id": "o", "api_key_id": "k"},
    "catalog": {"streams": []},
    "state": {"bookmarks": {"audit_logs": {"replication_key_value": "soon"}}},
}
CONTENT = '{"api_key_secret":"hush-hush-hush"}'
NAME = "The option --%s takes the name of a file: write the %s to one."


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--config=none --discover", "The config file none cannot be read: check its"),
        ("--config=incomplete --test", "Setting `api_key_secret` is missing: set it"),
        ("--config=config --catalog=catalog", "The catalog has no stream `audit_logs`"),
        ("--config=config --state=state", "`replication_key_value` of `audit_logs` in"),
        (f"--config={CONTENT}", NAME % ("config", "config")),
        (f"--config=config --state={CONTENT}", NAME % ("state", "state")),
        (f"--config=config --catalog={CONTENT}", NAME % ("catalog", "catalog")),
    ],
)
def test_the_command_ends_with_one_sentence(
    tmp_path, monkeypatch, options, said, level
):
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        write(tmp_path / name, content)
    result = run(*options.split(), TAP_AKUITY_LOGLEVEL=level)
    assert last_line(result).startswith(said)
    assert result.returncode == 1
    assert result.stdout == ""
    assert ("Traceback" in result.stderr) is (level == "DEBUG")
    assert "hush-hush" not in result.stderr


def test_what_a_file_env_changes_is_named_and_its_passwords_are_masked(tmp_path):
    # It stands above both the working folder and the SDK, which one counts depends on
    # the SDK. Nothing above the SDK itself may be written, so here is a copy.
    source = Path(singer_sdk.configuration.__file__).parents[1]
    shutil.copytree(source, tmp_path / "packages" / "singer_sdk")
    env_file = tmp_path / ".env"
    env_file.write_text(
        "TAP_AKUITY_API_URL=https://pr0xy-passw0rd.x\nTAP_AKUITY_PAGE_SIZE=7\n"
        "https_proxy=http://me:pr0xy-passw0rd@127.0.0.1:9:9\nSSL_CERT_FILE=\nX=1\n",
        encoding="utf-8",
    )
    config = write(tmp_path / "config", {**CONFIG, "max_retries": 0})
    environment = {
        "PYTHONPATH": str(tmp_path / "packages"),
        "TAP_AKUITY_PAGE_SIZE": "7",
        "TAP_AKUITY_LOGLEVEL": "DEBUG",
    }
    # Not forked: from where the SDK looks depends on how the program was started.
    result = subprocess.run(
        [TAP, "--config=ENV", "--config", config],
        cwd=tmp_path / "packages",
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = re.findall(r"\| WARNING  \| tap-akuity .*", result.stderr)
    assert [line.split(" | ")[-1] for line in lines] == [
        f"The file {env_file} sets SSL_CERT_FILE, TAP_AKUITY_API_URL, https_proxy: "
        "remove what is not meant for this tap from it."
    ]
    assert "to https://***.x: correct the proxy in HTTPS_PROXY" in last_line(result)
    assert "pr0xy-passw0rd" not in result.stderr


@pytest.mark.parametrize("variable", [{}, {"MELTANO_PROJECT_ROOT": "."}])
def test_misspelt_variables_are_named_with_a_guess(tmp_path, monkeypatch, variable):
    monkeypatch.chdir(tmp_path)
    own = ["_SELECT", "PROD_API_URL", "PROD__SELECT", "BATCH_CONFIG_STORAGE_ROOT"]
    names = ["STARTDATE", "XYZ", "PAGE_SIZE", "STREAM_MAPS", *(own if variable else ())]
    settings = {f"TAP_AKUITY_{name}": "1" for name in names}
    settings["TAP_AKUITY_STREAM_MAPS"] = "{}"
    write(tmp_path / "config", {})
    options = ["--config=config"] if variable else ["--config=ENV"]
    result = run(*options, **settings, **variable)
    lines = re.findall(r"\| WARNING  \| tap-akuity .*", result.stderr)
    assert [line.split(" | ")[-1] for line in lines] == [
        "The environment variable TAP_AKUITY_STARTDATE is unknown: did you mean "
        "TAP_AKUITY_START_DATE?",
        "The environment variable TAP_AKUITY_XYZ is unknown: it has no effect.",
    ]
    assert "is missing" in last_line(result)


def test_an_event_that_cannot_be_placed_in_time_stops_the_run_before_it():
    with Sandbox([item(-40)]) as sandbox:
        bad = item(-30) | {"timestamp": "soon"}
        sandbox.store.add([bad], at=time.time_ns() - 10**9)
        output = Output()
        with pytest.raises(FatalAPIError) as caught:
            sync(config_for(sandbox), output=output)
    said = str(caught.value)
    assert said.startswith("An event from 2019-12-31T23:59:59Z to 20")
    assert said.endswith(
        "cannot be read, so the sync stops before it: 'soon' is not a timestamp - in "
        "item 0 of the page."
    )
    states = [m["value"] for m in output.messages if m["type"] == "STATE"]
    assert not any(bookmark(state) for state in states if state)


def test_a_target_that_ends_is_named(tmp_path):
    files = tmp_path / "stdout", tmp_path / "stderr"
    os.mkfifo(files[0])
    with Sandbox([item(-30)]) as sandbox:
        config = write(tmp_path / "config.json", config_for(sandbox))
        tap = start("--config", config, files=files)
        files[0].open("rb").close()
        tap.join(20)
    assert tap.exitcode == 1
    said = files[1].read_text(encoding="utf-8")
    assert said.splitlines()[-1].endswith(
        "Could not write to the target: see its own messages (Broken pipe)."
    )
    assert "Traceback" not in said
