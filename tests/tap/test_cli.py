"""The last line of the command."""

import json
import os
import subprocess

import pytest

from tests.helpers.commands import TAP, run, write
from tests.helpers.running import config_for


@pytest.mark.parametrize("one_pipe", [True, False])
def test_under_meltano_the_last_line_is_a_sentence(tmp_path, json_logs, one_pipe):
    config = write(tmp_path / "config.json", {"api_key_id": "a", "api_key_secret": "b"})
    done = subprocess.run(
        [TAP, "--config", config],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if one_pipe else subprocess.PIPE,
        env=os.environ | json_logs,
        text=True,
        check=False,
    )
    lines = (done.stdout if one_pipe else done.stderr).splitlines()
    if one_pipe:  # `meltano config test` shows the last line as it is.
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


def test_the_help_has_examples_that_work(sandbox, tmp_path):
    said = subprocess.check_output([TAP, "--help"], text=True)
    assert "  --test [=quick|=schema]  " in said
    test, sync = said.partition("Example:\n")[2].splitlines()[:2]
    write(tmp_path / "config.json", config_for(sandbox))
    write(tmp_path / "state.json", {})
    for command in (test, sync.partition(" | ")[0]):
        script = command.replace("tap-akuity", str(TAP), 1)
        subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=True)  # noqa: S607
