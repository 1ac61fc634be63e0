"""When the sandbox misbehaves, and how: chosen by chance, from a seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from sandbox.answers import WRONG
from sandbox.options import SIGNED, Checked
from sandbox.wire import BROKEN

KINDS = (*BROKEN, *WRONG)


@dataclass(frozen=True)
class Plan(Checked):
    """Faults, and when they come.

    Attributes:
        kinds: The kinds to choose from by chance, listed below.
        rate: The share of requests that meet a fault.
        seed: Chooses which ones.
        times: How many faults at most. No end if not set.
        after: How many requests are served before the first fault.
        retry_after: The `Retry-After` of the kinds that have it.
        location: Where a redirect leads.
        trickle_seconds: The pause between two bytes.
    """

    kinds: tuple[str, ...] = ()
    rate: float = 1.0
    seed: int = field(default=0, metadata=SIGNED)
    times: int | None = None
    after: int = 0
    retry_after: str | None = None
    location: str = "http://127.0.0.1:9/"
    trickle_seconds: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ValueError: There is no such kind, or a number is out of range.
        """
        super().__post_init__()
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown:
            message = f"there is no fault {unknown[0]!r}, but {', '.join(KINDS)}"
            raise ValueError(message)
        if self.rate > 1:
            message = f"rate must be a number from 0 to 1, not {self.rate}"
            raise ValueError(message)


class Faults:
    """Picks faults after a plan."""

    def __init__(self, plan: Plan | None = None) -> None:
        """Begin the plan."""
        self.plan = plan or Plan()
        self._rng = Random(self.plan.seed)
        self._seen = 0
        self._picked = 0

    def pick(self) -> str | None:
        """Return the kind of fault that the next request meets, if any."""
        plan = self.plan
        self._seen += 1
        exhausted = plan.times is not None and self._picked >= plan.times
        if not plan.kinds or self._seen <= plan.after or exhausted:
            return None
        if self._rng.random() >= plan.rate:
            return None
        self._picked += 1
        return plan.kinds[int(self._rng.random() * len(plan.kinds))]
