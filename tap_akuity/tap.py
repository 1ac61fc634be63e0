"""The tap: its settings, its state, what it discovers."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

from singer_sdk import Tap
from singer_sdk.exceptions import ConfigurationError, ConfigValidationError

from tap_akuity import settings
from tap_akuity.output import maps
from tap_akuity.output.writer import LineWriter
from tap_akuity.state import normalize
from tap_akuity.streams import NOT_BEFORE, AuditLogsStream

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    import click
    from singer_sdk.streams import Stream


class TapAkuity(Tap):
    """Singer tap for the audit log of an Akuity organization."""

    name = "tap-akuity"
    config_jsonschema: ClassVar[dict[str, Any]] = copy.deepcopy(settings.SCHEMA)
    message_writer_class = LineWriter

    def __init__(
        self,
        *,
        parse_env_config: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Make the tap.

        Args:
            parse_env_config: Whether to read settings from the environment too.
            **kwargs: As for `singer_sdk.Tap`.

        Raises:
            ConfigValidationError: If a setting is missing or wrong.
        """
        try:
            super().__init__(parse_env_config=parse_env_config, **kwargs)
        except ValueError as error:
            # What the SDK says of a number in the environment does not name it.
            errors = list(settings.environment_problems(os.environ))
            if not parse_env_config or not errors:
                raise
            raise self._invalid(errors) from error

    @override
    def discover_streams(self) -> Sequence[Stream]:
        return [AuditLogsStream(self)]

    @override
    def setup_mapper(self) -> None:
        # The catalog first, or a stream map would be blamed for what it deselects.
        streams = list(self.streams.values())
        keys = (*AuditLogsStream.primary_keys, AuditLogsStream.replication_key)
        maps.check(self.config, AuditLogsStream.name, keys)
        super().setup_mapper()
        for stream in streams:
            if stream.selected and isinstance(stream, AuditLogsStream):
                names = ", ".join(dict(stream.converters))
                self.logger.debug("`%s` becomes: %s", stream.name, names)

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(
            normalize(
                state,
                stream=AuditLogsStream.name,
                replication_key=AuditLogsStream.replication_key,
                times=("replication_key_value", NOT_BEFORE),
                now=time.time_ns(),
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
            raise self._invalid(errors)
        return errors

    @classmethod
    def _invalid(cls, errors: list[str]) -> ConfigValidationError:
        return ConfigValidationError(
            " ".join(errors), errors=errors, schema=cls.config_jsonschema
        )

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
    def cb_config(
        cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]
    ) -> Any:
        for path in value:
            if path != "ENV":
                _read_object("config", path)
        return super().cb_config(ctx, param, value)

    @classmethod
    @override
    def invoke(
        cls,
        *,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
        **kwargs: Any,
    ) -> None:
        try:
            super().invoke(
                state=_checked("state", state),
                catalog=_checked("catalog", catalog),
                **kwargs,
            )
        except ConfigValidationError as error:
            # The SDK would end with "Config validation failed" after what to do.
            raise ConfigurationError(str(error)) from error


def _checked(what: str, file: IO[str] | None) -> IO[str] | None:
    """Make sure that a file is what it is said to be, before the SDK reads it."""
    if file is None:
        return None
    text = file.read()
    _parse_object(what, file.name, text)
    return io.StringIO(text)


def _read_object(what: str, path: str) -> None:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"The {what} file {path} cannot be read: check its name ({error})."
        raise ConfigurationError(msg) from error
    _parse_object(what, path, text)


def _parse_object(what: str, name: str, text: str) -> None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"The {what} file {name} is no JSON: correct it ({error})."
        raise ConfigurationError(msg) from error
    if not isinstance(value, dict):
        msg = f"The {what} file {name} is no JSON object: correct it."
        raise ConfigurationError(msg)
