"""The command line: `tap-akuity`, or `python -m tap_akuity`."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import sys

from tap_akuity.text.masking import MAX_SENTENCE, guard_stderr, one_line

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h


def main() -> None:
    """Run the tap, and end with one sentence if it fails."""
    guard_stderr()
    # Imported objects live until the end, so collecting them is a waste of time.
    gc.disable()
    from singer_sdk import metrics  # noqa: PLC0415

    from tap_akuity.streams import AuditLogsStream  # noqa: PLC0415
    from tap_akuity.tap import TapAkuity  # noqa: PLC0415

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
        command()
    except Exception as error:
        logger = TapAkuity.logger
        logger.debug("The run failed:", exc_info=error)
        # Logged last, so that it is the last line at any log level.
        sentence = one_line(str(error), MAX_SENTENCE) or type(error).__name__
        logger.critical("%s", sentence)
        if _is_shown_raw():
            sys.stderr.write(f"{sentence}\n")
        sys.exit(1)


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
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 1 << 17)


if __name__ == "__main__":
    main()
