"""Reads `akuity.json`: where to load from and to, and in which shards."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")
SECRETS = ("api_key_id", "api_key_secret", "password", "sqlalchemy_url")


class ConfigError(Exception):
    """The file cannot be used; the message is one sentence that says what to do."""


class Shard(NamedTuple):
    """A range of one organization's log, with a state of its own."""

    organization: str
    """Its name in the file."""

    start: str
    """The time of the first events."""

    end: str | None
    """The time before which events are read; `None` means up to now."""

    @property
    def state(self) -> str:
        """The name of its state.

        It contains both ends, so that a shard with other ends starts without a state.
        """
        return f"akuity_state.{self.organization}.{self.start}.{self.end or 'now'}"

    @property
    def label(self) -> str:
        """The label that the Airflow interface shows."""
        return f"{self.organization} {self.start} to {self.end or 'now'}"


@dataclass(frozen=True)
class Organization:
    """An Akuity organization.

    Attributes:
        name: The name used here.
        connection: The id of the Airflow connection with its API key.
        start: The first day of the backfill.
        end: The day on which the backfill ends and the schedule begins; it belongs to
            the schedule.
        schedule: When to load new events, in the syntax of cron or Airflow.
        settings: Settings of the tap, without secrets.
    """

    name: str
    connection: str
    start: date
    end: date
    schedule: str = "@hourly"
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def end_of_backfill(self) -> datetime:
        """The moment at which the backfill ends."""
        return datetime.combine(self.end, datetime.min.time(), UTC)

    def shards(self) -> Iterator[Shard]:
        """Yield the shards of the backfill: each is a month, or the rest of one."""
        start = self.start
        while start < self.end:
            end = min(_next_month(start), self.end)
            yield Shard(self.name, start.isoformat(), end.isoformat())
            start = end

    def first_second(self) -> Shard:
        """Return the smallest shard: the first second."""
        start = datetime.combine(self.start, datetime.min.time(), UTC)
        end = start + timedelta(seconds=1)
        return Shard(self.name, start.isoformat(), end.isoformat())

    def rest(self) -> Shard:
        """Return the shard that follows the backfill and has no end."""
        return Shard(self.name, self.end.isoformat(), None)


@dataclass(frozen=True)
class Config:
    """The whole file.

    Attributes:
        tap: The command `tap-akuity`.
        target: The command `target-postgres`.
        target_connection: The id of the Airflow connection with the database.
        organizations: By their names, at least one.
        target_settings: More settings of the target, without secrets.
        shards_at_a_time: How many shards of the backfill may run at once.
        retries: How often a failed task is retried.
        retry_delay_seconds: How long to wait before a retry.
    """

    tap: str
    target: str
    target_connection: str
    organizations: Mapping[str, Organization]
    target_settings: Mapping[str, Any] = field(default_factory=dict)
    shards_at_a_time: int = 4
    retries: int = 3
    retry_delay_seconds: float = 300

    def shards(self) -> list[Shard]:
        """Return the shards of all organizations."""
        return [
            shard
            for organization in self.organizations.values()
            for shard in organization.shards()
        ]


def read(path: Path) -> Config:
    """Read the file.

    Raises:
        ConfigError: It cannot be used.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        organizations = {
            name: _organization(name, **members)
            for name, members in content.pop("organizations").items()
        }
        config = Config(organizations=organizations, **content)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        msg = f"{path} cannot be used: correct it ({type(error).__name__}: {error})."
        raise ConfigError(msg) from error
    if not organizations:
        msg = f"{path} names no organization: add one to `organizations`."
        raise ConfigError(msg)
    for settings in (
        config.target_settings,
        *(one.settings for one in organizations.values()),
    ):
        for name in SECRETS:
            if name in settings:
                msg = f"{path} has `{name}`: put it into an Airflow connection instead."
                raise ConfigError(msg)
    return config


def _organization(name: str, start: str, end: str, **others: Any) -> Organization:  # noqa: ANN401 - JSON
    if not NAME.fullmatch(name):
        msg = f"the name {name!r} has more than letters, digits, _ and -"
        raise ValueError(msg)
    first, last = date.fromisoformat(start), date.fromisoformat(end)
    if first > last:
        msg = f"the backfill of {name} ends before it starts"
        raise ValueError(msg)
    return Organization(name, start=first, end=last, **others)


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
