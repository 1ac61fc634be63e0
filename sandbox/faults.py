"""When the sandbox misbehaves, and how: chosen by chance, from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

# Faults of the connection: see `sandbox.wire`.
BROKEN = (
    "close-before",
    "close-mid-length",
    "close-mid-chunked",
    "hang",
    "trickle",
    "endless-body",
)
# Whole answers, but wrong ones: see `sandbox.answers`.
WRONG = (
    "400",
    "401",
    "403",
    "404",
    "429",
    "429-retry-after-seconds",
    "429-retry-after-date",
    "499",
    "500",
    "501",
    "502",
    "503",
    "504",
    "520",
    "521",
    "522",
    "523",
    "524",
    "525",
    "526",
    "527",
    "not-json",
    "cut-json",
    "items-missing",
    "items-null",
    "items-object",
    "total-missing",
    "total-string",
    "bad-gzip",
    "gzip-bomb",
    "redirect",
    "escape-message",
    "deep-json",
    "huge-number",
)
KINDS = BROKEN + WRONG


@dataclass(frozen=True)
class Plan:
    """Which faults, and how often.

    Attributes:
        kinds: Of these, one by chance.
        rate: The share of requests that meet a fault.
        seed: For the choices.
        times: No more than so many faults.
        after: Not before so many requests went well.
        retry_after: The text of that header, where the kind has it.
        location: Where a redirect leads to.
        trickle_seconds: Between two bytes.
    """

    kinds: tuple[str, ...] = ()
    rate: float = 1.0
    seed: int = 0
    times: int | None = None
    after: int = 0
    retry_after: str | None = None
    location: str = "http://127.0.0.1:9/"
    trickle_seconds: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ValueError: A kind doesn't exist, or the rate is no share.
        """
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown:
            message = f"no such fault: {', '.join(unknown)}"
            raise ValueError(message)
        if not 0 <= self.rate <= 1:
            message = f"{self.rate} is not between 0 and 1"
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
