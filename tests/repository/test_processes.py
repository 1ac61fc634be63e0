"""What is started leaves nothing behind."""

import os

import pytest

from scripts.processes import kill, started
from tests.helpers.projects import wait_for_end


@pytest.mark.parametrize(
    ("trap", "patience", "is_killed"),
    [("trap '' TERM;", 0.1, False), ("trap '' TERM;", 0, False), ("", 0, True)],
)
def test_children_end_with_the_process(tmp_path, trap, patience, is_killed):
    command = ["bash", "-c", f"{trap} sleep 600 & echo ready; wait"]
    with started(command, tmp_path, os.environ, patience=patience) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        if is_killed:
            kill(process)
            wait_for_end(process.pid)
    wait_for_end(process.pid)
