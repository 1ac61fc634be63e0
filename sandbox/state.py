"""What a running sandbox consists of. All of it may be replaced at any time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from sandbox.data import Organization
from sandbox.faults import Faults
from sandbox.stats import Stats
from sandbox.timestamps import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.data import Item
    from sandbox.store import Store


@dataclass(frozen=True)
class Options:
    """Who may ask, how slow the answers are, and what the server's clock says.

    Attributes:
        organization_id: The only organization there is.
        api_key_id: The key of its owner.
        api_key_secret: The secret of that key.
        latency_seconds: How long every request takes.
        row_cost_seconds: How much longer for each row that an offset skips.
        arrivals: How many events happen just before every request.
        clock_skew_seconds: How far the server's clock is ahead.
        date_header: Whether responses carry a `Date`.
    """

    organization_id: str = "sandbox"
    api_key_id: str = "sandbox-key-id"
    api_key_secret: str = "sandbox-key-secret"  # noqa: S105 - opens nothing
    latency_seconds: float = 0.0
    row_cost_seconds: float = 0.0
    arrivals: int = 0
    clock_skew_seconds: float = 0.0
    date_header: bool = True


@dataclass
class State:
    """Everything that the endpoints share."""

    store: Store
    options: Options = field(default_factory=Options)
    faults: Faults = field(default_factory=Faults)
    stats: Stats = field(default_factory=Stats)
    seed: int = 0
    clock: Callable[[], int] = time.time_ns

    def __post_init__(self) -> None:
        """Found the organization where new events happen."""
        # Not the stream of chance that made the first records.
        self._rng = Random(~self.seed)
        self._organization = Organization(self._rng)

    def now(self) -> int:
        """Return what the server's clock says."""
        return self.clock() + int(self.options.clock_skew_seconds * SECOND)

    def arrive(self, count: int) -> list[Item]:
        """Let events happen just now."""
        now = self.now()
        items = [self._organization.event(now, now) for _ in range(count)]
        self.store.add(items)
        return items

    def happen(self, count: int) -> list[Item]:
        """Let events happen between the newest record and now.

        Raises:
            ValueError: The newest record is not in the past.
        """
        now = self.now()
        newest = self.store.newest()
        newest = now - SECOND if newest is None else newest
        if newest >= now:
            message = "the newest event is not in the past"
            raise ValueError(message)
        instants = sorted(
            newest + 1 + int(self._rng.random() * (now - newest)) for _ in range(count)
        )
        items = [self._organization.event(at, now) for at in instants]
        self.store.add(items)
        return items
