"""What is started leaves nothing behind."""

import os

import pytest

from scripts.processes import kill, started
from tests.helpers.projects import wait_for_end


@pytest.mark.parametrize("patience", [0.0, 5.0])
def test_children_end_with_the_process(tmp_path, patience):
    script = "trap '' TERM; sleep 600 & echo ready; wait"
    with started(
        ["bash", "-c", script], tmp_path, os.environ, patience=patience / 50
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    wait_for_end(process.pid)


def test_children_are_killed_with_the_process(tmp_path):
    with started(
        ["bash", "-c", "sleep 600 & echo ready; wait"], tmp_path, os.environ
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        kill(process)
        wait_for_end(process.pid)
