"""What a running sandbox consists of. All of it may be replaced at any time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - read by `sandbox.options`
from random import Random
from typing import TYPE_CHECKING, Literal

from sandbox.access import Role  # noqa: TC001 - read by `sandbox.options`
from sandbox.data import Organization
from sandbox.faults import Faults
from sandbox.options import SIGNED, Checked
from sandbox.stats import Stats
from sandbox.timestamps import SECOND, months_before

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.data import Item
    from sandbox.store import Store


@dataclass(frozen=True)
class Options(Checked):
    """The organization, the API key, and the server's speed and clock.

    Attributes:
        organization_id: The only organization there is.
        organization_name: What it is called.
        plan: What it pays for.
        months_kept: For how many months events can be searched; older ones are
            forgotten.
        months_archived: For how many months archives are kept.
        api_key_id: The id of the API key.
        api_key_secret: The secret of the API key.
        role: What the key may do: an `owner` everything, an `auditor` get the audit
            log, a `member` all but that.
        key_expires: When the key expires. Never if not set.
        neighbours: Show the organization and the key; or show values that no client
            understands; or answer with that status.
        latency_seconds: How long each request takes.
        arrivals: How many events happen just before each request.
        clock_skew_seconds: How far the server's clock is ahead.
        date_header: Send a `Date` with each response.
    """

    organization_id: str = "sandbox"
    organization_name: str = "Northwind"
    plan: str = "enterprise"
    months_kept: int = 1200
    months_archived: int = 1200
    api_key_id: str = "sandbox-key-id"
    api_key_secret: str = "sandbox-key-secret"  # noqa: S105 - opens nothing
    role: Role = "owner"
    key_expires: datetime | None = None
    neighbours: Literal["shown", "unclear", "403", "404", "503"] = "shown"
    latency_seconds: float = 0.0
    arrivals: int = 0
    clock_skew_seconds: float = field(default=0.0, metadata=SIGNED)
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
        self._organization = Organization(Random(~self.seed))

    def now(self) -> int:
        """Return what the server's clock says."""
        return self.clock() + int(self.options.clock_skew_seconds * SECOND)

    def forget(self) -> None:
        """Remove the events that are older than what is kept."""
        self.store.remove_before(months_before(self.now(), self.options.months_kept))

    def happen(self, count: int) -> list[Item]:
        """Let events happen now, one after the other."""
        now = self.now()
        items = [self._organization.event(now + n, now + n) for n in range(count)]
        self.store.add(items)
        return items
