"""The tap: its settings, its state, its discovery."""

from __future__ import annotations

import copy
import io
import json
import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, NoReturn, cast

import singer_sdk.configuration
from singer_sdk import Tap
from singer_sdk.exceptions import ConfigurationError, ConfigValidationError
from singer_sdk.tap_base import CliTestOptionValue

from tap_akuity import settings
from tap_akuity.checks.preflight import check
from tap_akuity.output import maps
from tap_akuity.output.writer import LineWriter
from tap_akuity.state import normalize
from tap_akuity.streams import AuditLogsStream
from tap_akuity.text.masking import hide_key, one_line

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    import click
    from singer_sdk.streams import Stream

_QUICK = "quick"
_API_URL = f"{settings.ENVIRONMENT_PREFIX}API_URL"


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
        """Create the tap.

        Args:
            parse_env_config: Whether to read settings from the environment as well.
            **kwargs: As for `singer_sdk.Tap`.

        Raises:
            ConfigValidationError: If a setting is missing or wrong.
        """
        api_url = os.environ.get(_API_URL)
        try:
            super().__init__(parse_env_config=parse_env_config, **kwargs)
        except ValueError as error:
            # The SDK's error for a number in the environment does not name it.
            if parse_env_config:
                self._check_environment(error)
            raise
        if parse_env_config:
            # The SDK reads an unknown boolean as false.
            self._check_environment()
        if os.environ.get(_API_URL) != api_url:
            self.logger.warning(
                "Setting `api_url` is %s, as %s says: remove it there if the API key "
                "is not meant for that host.",
                self.config["api_url"],
                _env_file(),
            )
        if threading.current_thread() is threading.main_thread():
            # The SDK's handlers exit with 0, as if everything had been read, and may
            # write a state in the middle of a line.
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                if hasattr(signal, name):  # There is no SIGHUP on Windows.
                    signal.signal(getattr(signal, name), self._end)

    @override
    def discover_streams(self) -> Sequence[Stream]:
        return [AuditLogsStream(self)]

    @override
    def setup_mapper(self) -> None:
        # Apply the catalog first, so that a deselected property is not blamed on a
        # stream map.
        streams = list(self.streams.values())
        maps.check(self.config, AuditLogsStream.name, AuditLogsStream.keys)
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
                now=time.time_ns(),
            )
        )

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        # The SDK's messages quote the invalid value, which may be the secret.
        self._config = settings.normalize(self._config)
        hide_key(*(str(self._config.get(name, "")) for name in settings.SECRETS))
        errors = list(
            settings.problems(
                self._config,
                now=time.time_ns(),
                under_meltano="MELTANO_PROJECT_ROOT" in os.environ,
            )
        )
        if not errors:
            return super()._validate_config(raise_errors=raise_errors)
        if raise_errors:
            raise self._invalid(errors)
        return errors

    @classmethod
    def _check_environment(cls, cause: Exception | None = None) -> None:
        if errors := list(settings.environment_problems(os.environ)):
            raise cls._invalid(errors) from cause

    @classmethod
    def _invalid(cls, errors: list[str]) -> ConfigValidationError:
        return ConfigValidationError(
            " ".join(errors), errors=errors, schema=cls.config_jsonschema
        )

    def _end(self, signum: int, _frame: FrameType | None) -> None:
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
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        if value not in {CliTestOptionValue.All.value, _QUICK}:
            super().cb_test(ctx, param, value)
            return
        given = ctx.params["config"]
        tap = cls(config=given.config, parse_env_config=given.parse_env)
        for stream in tap.streams.values():
            if isinstance(stream, AuditLogsStream):
                check(stream, tap.logger, quick=value == _QUICK)
        ctx.exit()

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        parameters = {parameter.name: parameter for parameter in command.params}
        cast("click.Option", parameters["test"]).help = (
            "Check what a sync needs, and measure what the API does: a line for each "
            "finding, and exit code 1 if a sync could not work. --test=quick does not "
            "measure; --test=schema writes the schema."
        )
        for name in ("state", "catalog"):
            # Parsed like `--config`: click would open it and block on a FIFO.
            parameters[name].type = parameters["config"].type
            parameters[name].callback = _open
        return command

    @classmethod
    @override
    def invoke(cls, **kwargs: Any) -> None:
        try:
            super().invoke(**kwargs)
        except ConfigValidationError as error:
            # Otherwise the SDK would print "Config validation failed" last.
            raise ConfigurationError(str(error)) from error


def _open(
    _: click.Context, parameter: click.Parameter, path: str | None
) -> IO[str] | None:
    return (
        None if path is None else io.StringIO(_read_object(str(parameter.name), path))
    )


def _read_object(what: str, path: str) -> str:
    """Read a file that must hold a JSON object.

    The SDK does not name the file, and a FIFO or a device may have no end.
    """
    name = f"The {what} file {one_line(path)}"
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            msg = f"{name} is not a regular file: write the {what} to one."
            raise ConfigurationError(msg)
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        msg = f"{name} cannot be read: check its name ({one_line(str(error))})."
        raise ConfigurationError(msg) from error
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        msg = f"{name} is not valid JSON: correct it ({error})."
        raise ConfigurationError(msg) from error
    if not isinstance(value, dict):
        msg = f"{name} is not a JSON object: correct it."
        raise ConfigurationError(msg)
    return text


def _refuse(constant: str) -> NoReturn:
    msg = f"{constant} is not a JSON number"
    raise ValueError(msg)


def _env_file() -> Path | str:
    """Return the `.env` file that the SDK reads with --config=ENV."""
    for folder in Path(singer_sdk.configuration.__file__).parents:
        if (folder / ".env").is_file():
            return folder / ".env"
    return "a file `.env`"
