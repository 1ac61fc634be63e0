"""The command line: `tap-akuity`, or `python -m tap_akuity`."""

# What takes time is imported once a signal ends the process as it should.
# ruff: noqa: PLC0415

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h


def main() -> NoReturn:
    """Run the tap, and end the process."""
    _end_on_signals()
    code: object = 1
    try:
        try:
            run()
        finally:
            _end_on_signals()
    except SystemExit as end:
        code = end.code or 0
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    # Not `sys.exit`: OpenSSL crashes if it is unloaded while threads are using it.
    os._exit(code if isinstance(code, int) else 1)


def run() -> None:
    """Run the tap, with one sentence at the end if it fails or is interrupted.

    Raises:
        SystemExit: Always, with the exit code. All output is written.
    """
    import gc

    from tap_akuity.text.masking import MAX_SENTENCE, guard_stderr, one_line

    guard_stderr()
    # Imported objects live until the end, so collecting them is a waste of time.
    gc.disable()
    import logging

    from singer_sdk import metrics

    from tap_akuity.streams import AuditLogsStream
    from tap_akuity.tap import TapAkuity

    gc.freeze()
    gc.enable()
    # By default, a busy thread delays those with a response by up to 5 ms each time,
    # which costs 2 % with eight concurrent requests.
    sys.setswitchinterval(0.0005)
    _return_large_buffers()
    command = TapAkuity.cli
    # The SDK logs this for every error; the tap's own sentence follows.
    logging.getLogger(f"{TapAkuity.name}.{AuditLogsStream.name}").addFilter(
        lambda record: not record.msg.startswith("An unhandled error occurred")
    )
    TapAkuity.logger.addFilter(
        lambda record: not str(record.msg).startswith("Skipping parse of env var")
    )
    if any(argument.startswith("--test") for argument in sys.argv[1:]):
        # A successful test stops early, which the SDK's metrics report as "failed".
        metrics.get_metrics_logger().addFilter(lambda _: False)
    elif "SINGER_SDK_LOG_CONFIG" not in os.environ:
        # They repeat what the last line of a sync says.
        metrics.get_metrics_logger().addFilter(
            lambda _: TapAkuity.logger.isEnabledFor(logging.DEBUG)
        )
    try:
        try:
            command()
        finally:
            sys.stdout.flush()
    except SystemExit as end:
        if not isinstance(end.code, int) or end.code <= _SIGNALLED:
            raise
        code, sentence = end.code, _interrupted(end.code - _SIGNALLED)
    except Exception as error:  # noqa: BLE001, logged
        TapAkuity.logger.debug("The run failed:", exc_info=error)
        code = 1
        sentence = one_line(str(error), MAX_SENTENCE) or type(error).__name__
    # Logged last, so that it is the last line at any log level.
    TapAkuity.logger.critical("%s", sentence)
    if _is_shown_raw():
        sys.stderr.write(f"{sentence}\n")
    sys.exit(code)


_SIGNALLED = 128
"""The exit code after a signal is its number and this."""


def _end_on_signals() -> None:
    """Make signals end the process at once, while no output is being written."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # There is no SIGHUP on Windows.
            signal.signal(getattr(signal, name), _end)


def _end(signum: int, _frame: FrameType | None) -> NoReturn:
    with contextlib.suppress(OSError):
        os.write(2, f"{_interrupted(signum)}\n".encode())
    os._exit(_SIGNALLED + signum)


def _interrupted(signum: int) -> str:
    name = signal.Signals(signum).name
    return f"Interrupted by {name}: the next run resumes from the last state."


def _is_shown_raw() -> bool:
    """Return whether Meltano shows the last line as is, as `meltano config test` does.

    Meltano configures the tap to log JSON. It parses that in a pipeline, but not in
    `meltano config test`, where the tap's stdout and stderr share one pipe.
    """
    if "SINGER_SDK_LOG_CONFIG" not in os.environ:
        return False
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):
        return False


def _return_large_buffers() -> None:
    """Make glibc free the memory of each page; threads would retain 60 MB of it."""
    import ctypes

    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 1 << 17)


if __name__ == "__main__":
    main()
