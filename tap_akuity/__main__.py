"""The command line: `tap-akuity`, or `python -m tap_akuity`."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import sys

from tap_akuity.masking import MAX_SENTENCE, guard_stderr, one_line

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
    # By default, a busy thread keeps those that are back from the network waiting for
    # 5 ms each time, which costs 2 % with eight requests at a time.
    sys.setswitchinterval(0.0005)
    _return_large_buffers()
    command = TapAkuity.cli
    # The SDK says this of every error, which is then said better.
    logging.getLogger(f"{TapAkuity.name}.{AuditLogsStream.name}").addFilter(
        lambda record: not record.msg.startswith("An unhandled error occurred")
    )
    if any(argument.startswith("--test") for argument in sys.argv[1:]):
        # A test that went well is cut short, which the SDK's metrics call "failed".
        metrics.get_metrics_logger().addFilter(lambda _: False)
    try:
        command()
    except Exception as error:
        logger = TapAkuity.logger
        logger.debug("This ended the run:", exc_info=error)
        # Last, so that it is the last line at any log level.
        sentence = one_line(str(error), MAX_SENTENCE) or type(error).__name__
        logger.critical("%s", sentence)
        if _is_shown_raw():
            sys.stderr.write(f"{sentence}\n")
        sys.exit(1)


def _is_shown_raw() -> bool:
    """Tell whether Meltano shows the last line as it is, as `meltano config test` does.

    Meltano lets the tap log JSON, which it parses when it runs a pipeline, but not in
    that test, where the tap's stdout and stderr are one pipe.
    """
    if "SINGER_SDK_LOG_CONFIG" not in os.environ:
        return False
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):
        return False


def _return_large_buffers() -> None:
    """Let glibc return the memory of each page, of which threads would keep 60 MB."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 1 << 17)


if __name__ == "__main__":
    main()
