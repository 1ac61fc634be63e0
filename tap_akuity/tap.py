"""The tap: its settings, its state, what it discovers."""

from __future__ import annotations

import contextlib
import copy
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk import Tap
from singer_sdk.exceptions import ConfigurationError, ConfigValidationError

from tap_akuity import settings
from tap_akuity.state import normalize
from tap_akuity.streams import NOT_BEFORE, AuditLogsStream
from tap_akuity.writer import LineWriter

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from singer_sdk.streams import Stream


class TapAkuity(Tap):
    """Singer tap for the audit log of an Akuity organization."""

    name = "tap-akuity"
    config_jsonschema: ClassVar[dict[str, Any]] = copy.deepcopy(settings.SCHEMA)
    message_writer_class = LineWriter

    @override
    def discover_streams(self) -> Sequence[Stream]:
        return [AuditLogsStream(self)]

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(
            normalize(
                state,
                stream=AuditLogsStream.name,
                replication_key=AuditLogsStream.replication_key,
                times=("replication_key_value", NOT_BEFORE),
            )
        )

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        # The SDK's messages quote the value that is wrong, which may be the secret.
        self._config = settings.normalize(self._config)
        errors = list(settings.problems(self._config, now=time.time_ns()))
        if not errors:
            return super()._validate_config(raise_errors=raise_errors)
        if raise_errors:
            raise ConfigValidationError(
                " ".join(errors), errors=errors, schema=self.config_jsonschema
            )
        return errors

    @override
    def _setup_signal_handlers(self) -> None:
        super()._setup_signal_handlers()
        if threading.current_thread() is threading.main_thread():
            with contextlib.suppress(AttributeError):  # There is none on Windows.
                signal.signal(signal.SIGHUP, self._handle_termination)

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        # The SDK would end with 0, as if all were read, and write a state that may come
        # in the middle of a line. The last one written is as good.
        code = 128 + signum
        if isinstance(self.message_writer, LineWriter):
            self.message_writer.exit(code)
        else:
            sys.exit(code)

    @classmethod
    @override
    def invoke(cls, **kwargs: Any) -> None:
        # Or the SDK would end with "Config validation failed" after what to do.
        try:
            super().invoke(**kwargs)
        except ConfigValidationError as error:
            raise ConfigurationError(str(error)) from error
