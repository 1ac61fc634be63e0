"""Runs Meltano without leaving processes behind."""

import os
import subprocess
from typing import IO, Any

from scripts import ROOT, CommandError
from scripts.processes import inherited, started
from scripts.sandboxes import Sandbox

MELTANO = ROOT / ".venv-meltano" / "bin" / "meltano"

_RUN_SECONDS = 600
_STOP_SECONDS = 10
_FOREIGN_SETTINGS = ("MELTANO_", "SANDBOX_", "TAP_AKUITY_", "TARGET_DUCKDB_")


def meltano(*arguments: str, sandbox: Sandbox, log: IO[Any]) -> None:
    """Run Meltano in its environment `sandbox`, with its output in a log.

    Ignores the settings of a real organization, whether in `.env` or exported.

    Raises:
        CommandError: Meltano is not installed, failed, or took too long.
    """
    if not MELTANO.exists():
        message = "Meltano is not installed: run `make demo`."
        raise CommandError(message)
    command = [str(MELTANO), "--environment=sandbox", f"--env-file={os.devnull}"]
    command += arguments
    name = " ".join(["meltano", *arguments])
    environment = inherited(*_FOREIGN_SETTINGS) | {
        "SANDBOX_URL": sandbox.url,
        "SANDBOX_ORGANIZATION_ID": sandbox.organization_id,
        "SANDBOX_API_KEY_ID": sandbox.api_key_id,
        "SANDBOX_API_KEY_SECRET": sandbox.api_key_secret,
        "NO_COLOR": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        # Keep Meltano's logs in this folder, not in the home directory.
        "XDG_STATE_HOME": str(ROOT / ".meltano" / "state"),
    }
    streams = {"stdout": log, "stderr": subprocess.STDOUT}
    with started(
        command, ROOT, environment, patience=_STOP_SECONDS, **streams
    ) as process:
        try:
            code = process.wait(_RUN_SECONDS)
        except subprocess.TimeoutExpired:
            message = f"`{name}` took longer than {_RUN_SECONDS} seconds."
            raise CommandError(message) from None
    if code != 0:
        message = f"`{name}` failed with exit code {code}."
        raise CommandError(message)
