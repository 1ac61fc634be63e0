"""Runs the tap into the target, with a state that covers only what is loaded."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
from collections import deque
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    State = dict[str, Any]

# Variables meant for others, among them the scheduler's own secrets.
FOREIGN = ("AIRFLOW", "_AIRFLOW", "TAP_AKUITY_", "TARGET_")


class PipelineError(Exception):
    """The tap or the target failed; the message ends with its last line on stderr."""


class Command(NamedTuple):
    """A Singer tap or target, to be run.

    Secrets are in the environment, because command lines are visible to everyone.
    """

    program: str
    environment: Mapping[str, str]


def variables(prefix: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return settings as environment variables, without those that are not set."""
    return {
        f"{prefix}_{name}".upper(): value if isinstance(value, str) else _json(value)
        for name, value in settings.items()
        if value is not None
    }


def run(
    tap: Command,
    target: Command,
    state: State,
    save: Callable[[State], None],
    say: Callable[[str], None],
) -> None:
    """Load new events.

    Args:
        tap: The tap.
        target: The target.
        state: The last state that was saved; empty if there is none.
        save: Saves a state. The target repeats a state once all before it is loaded,
            and it is saved at once: after a run that is killed, the next one resumes
            from there.
        say: Receives each line that the two write to stderr, after the name of the
            program.

    Raises:
        PipelineError: One of them failed. The state of what was loaded is saved.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        path = folder / "state.json"
        path.write_text(_json(state), encoding="utf-8")
        source = stack.enter_context(_started(tap, say, "--state", str(path)))
        output = _output(source.process)
        sink = stack.enter_context(_started(target, say, stdin=output))
        # Now only the target holds it: if the target ends, the tap does, too.
        output.close()
        for line in _output(sink.process):
            # A target that is killed may leave half a line.
            if line.endswith("\n"):
                save(json.loads(line))
        # If the target fails, so does the tap, but never the other way round.
        sink.finish()
        source.finish()


class _Running(NamedTuple):
    name: str
    process: subprocess.Popen[str]
    listener: threading.Thread
    last_words: deque[str]

    def finish(self) -> None:
        """Wait for the end, and fail unless it succeeded."""
        code = self.process.wait()
        self.listener.join()
        if code != 0:
            msg = f"{self.name} ended with code {code}: {''.join(self.last_words)}"
            raise PipelineError(msg)


@contextlib.contextmanager
def _started(
    command: Command,
    say: Callable[[str], None],
    *options: str,
    stdin: IO[str] | None = None,
) -> Iterator[_Running]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(FOREIGN)
    }
    # No shell, and no session of its own: whatever ends the task ends both processes.
    with subprocess.Popen(  # noqa: S603
        [command.program, "--config", "ENV", *options],
        env={**inherited, **command.environment},
        stdin=stdin or subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        name = Path(command.program).name
        last_words: deque[str] = deque(maxlen=1)

        def listen() -> None:
            for line in process.stderr or ():
                if text := line.rstrip():
                    last_words.append(text)
                    say(f"{name}: {text}")

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            yield _Running(name, process, listener, last_words)
        finally:
            process.kill()
            listener.join()


def _output(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None  # noqa: S101 - as it was started
    return process.stdout


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
