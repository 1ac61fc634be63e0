"""The state of a running sandbox. Any part may be replaced at any time."""

import time
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, Literal

from sandbox.data import Item, Organization
from sandbox.faults import Faults
from sandbox.store import Store
from sandbox.timestamps import SECOND


@dataclass(frozen=True)
class Options:
    """The organization, the API key, and the server's speed and clock.

    Attributes:
        organization_id: Id of the only organization.
        organization_name: Its name.
        months_kept: For how many months events can be searched, as it says.
        months_archived: For how many months archives are kept, as it says.
        api_key_id: Id of the API key.
        api_key_secret: Secret of the API key.
        role: Role of the key: an `owner` may do everything, an `auditor` may read the
            audit log, a `member` may do anything but that.
        key_expires: When the key expires. Default: never.
        account: How the endpoints of the organization and the key respond: with
            their data, with values that clients do not understand, or with a status.
        latency_seconds: Duration of each request.
        arrivals: Number of events that happen just before each request.
        clock_skew_seconds: How far the server's clock is ahead.
        date_header: Send a `Date` header with each response.
    """

    organization_id: str = "sandbox"
    organization_name: str = "Northwind"
    months_kept: int = 1200
    months_archived: int = 1200
    api_key_id: str = "sandbox-key-id"
    api_key_secret: str = "sandbox-key-secret"  # noqa: S105 - opens nothing
    role: Literal["owner", "auditor", "member"] = "owner"
    key_expires: datetime | None = None
    account: Literal["shown", "unclear", "403", "404", "503"] = "shown"
    latency_seconds: float = 0.0
    arrivals: int = 0
    clock_skew_seconds: float = field(default=0.0, metadata={"type": float})
    date_header: bool = True


@dataclass
class Stats:
    """Counts of requests, for the audit log and for the other endpoints."""

    requests: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    queries: list[str] = field(default_factory=list)
    account: Counter[str] = field(default_factory=Counter)

    def reset(self) -> None:
        """Reset all counts."""
        vars(self).update(vars(Stats()))

    def report(self) -> dict[str, Any]:
        """Return all statistics, ready for JSON."""
        return deepcopy(vars(self))


@dataclass
class State:
    """The state that all endpoints share."""

    store: Store
    options: Options
    faults: Faults
    seed: int = 0
    stats: Stats = field(default_factory=Stats)
    clock: Callable[[], int] = time.time_ns

    def __post_init__(self) -> None:
        """Set up the generator of new events."""
        # Not the random sequence that generated the first records.
        self._organization = Organization(Random(~self.seed))

    def now(self) -> int:
        """Return the time of the server's clock, in nanoseconds."""
        return self.clock() + int(self.options.clock_skew_seconds * SECOND)

    def happen(self, count: int) -> list[Item]:
        """Create events now, one after another, and return them."""
        now = self.now()
        items = [self._organization.event(now + n, now + n) for n in range(count)]
        self.store.add(items)
        return items
