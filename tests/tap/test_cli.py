"""What the command writes to stderr, and its help."""

import json
import shlex

import pytest

from tests.helpers.commands import run, write
from tests.helpers.running import config_for


@pytest.mark.parametrize("one_file", [True, False])
def test_under_meltano_the_last_line_is_a_sentence(tmp_path, json_logs, one_file):
    config = write(tmp_path / "config.json", {"api_key_id": "a", "api_key_secret": "b"})
    lines = run("--config", config, one_file=one_file, **json_logs).stderr.splitlines()
    if one_file:  # `meltano config test` shows the last line as it is.
        last = lines.pop()
        assert last == json.loads(lines[-1])["message"]
    assert json.loads(lines[-1])["message"] == (
        "Setting `organization_id` is missing: set TAP_AKUITY_ORGANIZATION_ID in "
        "`.env`, or run `meltano config set`."
    )


def test_lines_are_for_people_unless_a_machine_or_a_developer_reads_them(
    sandbox, tmp_path, json_logs
):
    config = write(tmp_path / "config.json", config_for(sandbox))
    for environment, is_shown in (
        ({}, False),
        (json_logs, True),
        ({"TAP_AKUITY_LOGLEVEL": "DEBUG"}, True),
    ):
        said = run("--config", config, **environment).stderr
        assert ("METRIC" in said) is is_shown
        assert "Sync completed: " in said
        assert "Skipping parse" not in said
        # `start_date` is not a bookmark.
        assert "bookmark value" not in said
        assert "Reading events from 2020-01-01T00:00:00Z to 20" in said


def test_the_help_has_examples_that_work(sandbox, tmp_path, monkeypatch):
    said = run("--help").stdout
    assert "  --test [=quick|=schema]  " in said
    examples = said.partition("Example:\n")[2].splitlines()[:2]
    write(tmp_path / "config.json", config_for(sandbox))
    write(tmp_path / "state.json", {})
    monkeypatch.chdir(tmp_path)
    for example in examples:
        name, *arguments = shlex.split(example.partition(" | ")[0])
        assert name == "tap-akuity"
        result = run(*arguments)
        assert result.returncode == 0, result.stderr
