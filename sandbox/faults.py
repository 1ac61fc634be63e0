"""When and how the sandbox misbehaves: chosen at random, from a seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from sandbox.answers import WRONG
from sandbox.options import SIGNED, Checked
from sandbox.wire import BROKEN

KINDS = (*BROKEN, *WRONG)


@dataclass(frozen=True)
class Plan(Checked):
    """Faults, and when they occur.

    Attributes:
        kinds: Kinds of faults to choose from at random, listed below.
        rate: Share of requests that get a fault, from 0 to 1.
        seed: Seed of that choice.
        times: Maximum number of faults. Default: no limit.
        after: Number of requests before the first fault.
        retry_after: Value of `Retry-After`, for the kinds that send it.
        location: Target of redirects.
        trickle_seconds: Pause between two bytes.
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
        """Check the plan.

        Raises:
            ValueError: A kind is unknown, or a number is out of range.
        """
        super().__post_init__()
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown:
            message = f"unknown fault {unknown[0]!r}: choose from {', '.join(KINDS)}"
            raise ValueError(message)
        if self.rate > 1:
            message = f"rate must be a number from 0 to 1, not {self.rate}"
            raise ValueError(message)


class Faults:
    """Picks faults according to a plan."""

    def __init__(self, plan: Plan | None = None) -> None:
        """Set up the picker at the start of the plan; without one, it picks none."""
        self.plan = plan or Plan()
        self._rng = Random(self.plan.seed)
        self._seen = 0
        self._picked = 0

    def pick(self) -> str | None:
        """Return the kind of fault for the next request, if any."""
        plan = self.plan
        self._seen += 1
        exhausted = plan.times is not None and self._picked >= plan.times
        if not plan.kinds or self._seen <= plan.after or exhausted:
            return None
        if self._rng.random() >= plan.rate:
            return None
        self._picked += 1
        return plan.kinds[int(self._rng.random() * len(plan.kinds))]
