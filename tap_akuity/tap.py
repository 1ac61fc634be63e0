"""The tap: its settings, its state, its discovery."""

import copy
import io
import json
import os
import re
import signal
import stat
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any, ClassVar, NoReturn, cast

import click
import singer_sdk.configuration
from dotenv import dotenv_values
from singer_sdk import Tap
from singer_sdk.exceptions import ConfigurationError, ConfigValidationError
from singer_sdk.streams import Stream
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_akuity import settings
from tap_akuity.checks.preflight import check
from tap_akuity.output import maps
from tap_akuity.output.writer import LineWriter
from tap_akuity.state import normalize
from tap_akuity.streams import AuditLogsStream
from tap_akuity.text.masking import hide_key, hide_proxies, one_line

_MELTANO_ROOT = "MELTANO_PROJECT_ROOT"
"""The variable by which Meltano names its project's folder."""

_is_trusted = re.compile(
    rf"{settings.ENVIRONMENT_PREFIX}.*|SSL.*|.*_PROXY|.*_CA_BUNDLE", re.IGNORECASE
).fullmatch
"""Returns whether a variable may decide where the API key goes."""

_EXAMPLE = """\b
Example:
  tap-akuity --config config.json --test
  tap-akuity --config config.json --state state.json | target-jsonl"""
"""What `--help` ends with."""

_QUICK = "quick"
"""The value of `--test` that leaves out what is measured."""


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
        """Create the tap, as `singer_sdk.Tap` does.

        Raises:
            ConfigValidationError: If a setting is missing or wrong.
        """
        before = dict(os.environ)
        try:
            super().__init__(parse_env_config=parse_env_config, **kwargs)
        except ValueError as error:
            # The SDK's error for a number in the environment does not name it.
            self._check_environment(error, is_read=parse_env_config)
            raise
        finally:
            # Also if a setting is wrong: that may be the reason.
            self._warn_of_environment(before, is_read=parse_env_config)
        # The SDK and Meltano read an unknown boolean as false.
        self._check_environment(is_read=parse_env_config)
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and hasattr(signal, "SIGHUP"):  # There is none on Windows.
            signal.signal(signal.SIGHUP, self._handle_termination)

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
                under_meltano=_MELTANO_ROOT in os.environ,
            )
        )
        if not errors:
            schema = self.config_jsonschema
            self.append_builtin_config(schema)
            errors = list(settings.builtin_problems(self._config, schema))
        if not errors:
            return super()._validate_config(raise_errors=raise_errors)
        if raise_errors:
            raise self._invalid(errors)
        return errors

    @classmethod
    def _check_environment(
        cls, cause: Exception | None = None, *, is_read: bool
    ) -> None:
        environment = dict(os.environ) if is_read else {}
        if root := os.environ.get(_MELTANO_ROOT):
            environment |= _texts_of_false(root)
        if errors := list(settings.environment_problems(environment)):
            raise cls._invalid(errors) from cause

    @classmethod
    def _invalid(cls, errors: list[str]) -> ConfigValidationError:
        return ConfigValidationError(
            " ".join(errors), errors=errors, schema=cls.config_jsonschema
        )

    @classmethod
    def _warn_of_environment(cls, before: Mapping[str, str], *, is_read: bool) -> None:
        hide_proxies(os.environ)
        if changed := {
            name
            for name, text in os.environ.items()
            if text != before.get(name) and _is_trusted(name)
        }:
            cls.logger.warning(
                "%s sets %s: remove what is not meant for this tap from it.",
                _env_file(changed),
                ", ".join(sorted(changed)),
            )
        under_meltano = _MELTANO_ROOT in os.environ
        if is_read or under_meltano:
            cls.append_builtin_config(cls.config_jsonschema)
            for sentence in settings.unknown_variables(
                os.environ,
                cls.config_jsonschema["properties"],
                under_meltano=under_meltano,
            ):
                cls.logger.warning("%s", sentence)

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        # The SDK calls this for SIGINT and SIGTERM, from the first moment on. Its own
        # writes a state, perhaps an empty one or in the middle of a line, and exits
        # with 0, as if everything had been read.
        code = 128 + signum
        writer = getattr(self, "message_writer", None)
        if isinstance(writer, LineWriter):
            writer.exit(code)
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
        parameters["test"].metavar = "[=quick|=schema]"
        command.epilog = _EXAMPLE
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
    if path.lstrip().startswith("{"):
        # Not quoted: it may hold the API key.
        raise ConfigurationError(
            f"The option --{what} takes the name of a file: write the {what} to one."
        )
    name = f"The {what} file {one_line(path)}"
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise ConfigurationError(
                f"{name} is not a regular file: write the {what} to one."
            )
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{name} cannot be read: check its name ({one_line(str(error))})."
        ) from error
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{name} is not valid JSON: correct it ({error})."
        ) from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{name} is not a JSON object: correct it.")
    return text


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _env_file(names: set[str]) -> str:
    """Name the file `.env` that has set variables.

    With --config=ENV, the SDK reads one above its installation, and from 0.55 on one
    above the working folder instead.
    """
    installed = Path(singer_sdk.configuration.__file__).parents
    for folder in (*installed, Path.cwd(), *Path.cwd().parents):
        if names <= _variables(folder / ".env").keys():
            return f"The file {one_line(str(folder / '.env'))}"
    return "A file `.env`"


def _texts_of_false(root: str) -> dict[str, str]:
    """Return the original texts of the variables that are false for Meltano."""
    return {
        name: text
        for name, text in _variables(Path(root, ".env")).items()
        if text and os.environ.get(name) == "false"
    }


def _variables(path: Path) -> dict[str, str | None]:
    try:
        return dict(dotenv_values(path))
    except (OSError, ValueError):
        return {}
