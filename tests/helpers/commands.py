"""Running the command, and reading what it wrote."""

import json
import subprocess
import sys
from pathlib import Path

from scripts.processes import inherited

BIN = Path(sys.executable).parent
TAP = str(BIN / "tap-akuity")


def run(*arguments, command=(TAP,), **environment):
    return subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=inherited("TAP_AKUITY") | environment,
        timeout=60,
    )


def write(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def messages(output):
    return [json.loads(line) for line in output.splitlines()]


def last_line(result):
    return result.stderr.splitlines()[-1].split(" | ", 3)[-1]
