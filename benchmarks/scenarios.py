"""What is measured."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random
from typing import NamedTuple

from benchmarks.programs import (
    DLT,
    END_DATE,
    MODES,
    SCRIPT,
    SDK_DEFAULT,
    TAP_AKUITY,
    Program,
    sdk_default,
    tap_akuity,
)
from sandbox.data import Dataset, Item
from sandbox.instants import SHAPES
from sandbox.vocabulary import WORDS

TEXT = " ".join((*WORDS["remarks"], "one line\u2028another"))
ONE_AT_A_TIME, EIGHT_AT_A_TIME = (tap_akuity(concurrency=n) for n in (1, 8))
LATENCY = 0.1
DAYS = 6 * 365 + 2  # from the start date to the end date


@dataclass(frozen=True)
class Patched(Dataset):
    """Events with a patch each: random digits, or up to 400 awkward characters."""

    patch_bytes: int = 0

    def __iter__(self) -> Iterator[Item]:
        """Yield items in the API's format, oldest first."""
        rng = Random(self.seed)  # noqa: S311 - nothing secret
        for item in super().__iter__():
            begin, size = rng.randrange(len(TEXT)), rng.randrange(401)
            awkward = (3 * TEXT)[begin : begin + size]
            patch = rng.randbytes(self.patch_bytes // 2).hex() or awkward
            yield item | {"details": (item["details"] or {}) | {"patch": patch}}


UNTIL = datetime.strptime(END_DATE, "%Y-%m-%dT%H:%M:%S%z")
RECENT = Dataset(100_000, 1, UNTIL)  # nothing for years, then 90 days
AWKWARD = Patched(100_000, 1, UNTIL, DAYS, "bursts")
CLUSTERED = Dataset(1_000_000, 1, UNTIL, DAYS, "clustered")
PATCHES = Patched(10_000, 1, UNTIL, patch_bytes=20_000)
FEW = replace(RECENT, records=1_000)
DISTRIBUTIONS: dict[str, Dataset] = {
    shape: Dataset(100_000, 1, UNTIL, DAYS, shape) for shape in SHAPES
}
DISTRIBUTIONS["recent"] = RECENT


class Case(NamedTuple):
    """A program and its job, compared with others in the same round."""

    program: Program
    data: Dataset
    page_size: int | None = 1000
    """The program's default, if `None`."""

    latency: float = 0.0
    resumed: bool = False
    """Whether an earlier run has read everything."""

    detail: str = ""
    """What distinguishes it from the same program in another case."""

    most_requests: int | None = None
    most_megabytes: int | None = None
    once: bool = False
    """Whether it runs in the first round only, because it takes long."""

    @property
    def name(self) -> str:
        """The program and the detail."""
        return ": ".join(filter(None, (self.program.name, self.detail)))

    def tiny(self) -> "Case":
        """Return the same on tiny data."""
        return self._replace(
            data=replace(self.data, records=250),
            page_size=self.page_size and self.page_size // 10,
            latency=self.latency / 100,
        )


class Scenario(NamedTuple):
    """Cases that run in turn; the first is what the others are compared with."""

    name: str
    title: str
    cases: list[Case]
    rounds: int = 1

    def tiny(self, environments: set[str]) -> "Scenario":
        """Return the cases whose programs have an environment, once on tiny data."""
        kept = [one for one in self.cases if one.program.environment in environments]
        return self._replace(cases=[case.tiny() for case in kept], rounds=1)


SCENARIOS = (
    Scenario(
        "no-latency",
        "No latency, page size 1,000",
        [Case(one, RECENT) for one in (TAP_AKUITY, SDK_DEFAULT, DLT, SCRIPT)],
        rounds=3,
    ),
    Scenario(
        "awkward-text",
        "Bursts of text in many scripts, with quotes and U+2028, page size 1,000",
        [Case(one, AWKWARD) for one in (TAP_AKUITY, SDK_DEFAULT, SCRIPT)],
        rounds=3,
    ),
    Scenario(
        "latency",
        "100 ms for each request, page size 500",
        [
            Case(TAP_AKUITY, RECENT, 500, LATENCY),
            Case(EIGHT_AT_A_TIME, RECENT, 500, LATENCY),
            Case(SDK_DEFAULT, RECENT, 500, LATENCY, once=True),
            Case(TAP_AKUITY, RECENT, 1000, LATENCY, detail="1,000 a page"),
        ],
        rounds=2,
    ),
    Scenario(
        "distributions",
        "8 requests at a time against 1, and requests for each distribution",
        [
            Case(TAP_AKUITY, FEW, resumed=True),
            *(
                Case(program, data, size, LATENCY, detail=name, most_requests=most)
                for name, data in DISTRIBUTIONS.items()
                for program, size, most in (
                    (ONE_AT_A_TIME, 500, 215),
                    (EIGHT_AT_A_TIME, 500, 215),
                    (EIGHT_AT_A_TIME, 1000, 115),
                )
            ),
        ],
    ),
    Scenario(
        "modes",
        "Deselected, flattened, mapped and in batches, no latency, page size 1,000",
        [
            *(Case(tap_akuity(mode), RECENT) for mode in MODES),
            *(Case(sdk_default(mode), RECENT, once=True) for mode in MODES),
        ],
        rounds=2,
    ),
    Scenario(
        "memory",
        "A million clustered events, and patches of 20 KB, default settings",
        [
            Case(TAP_AKUITY, CLUSTERED, None, most_megabytes=150),
            Case(TAP_AKUITY, PATCHES, None, detail="20 KB each", most_megabytes=200),
        ],
    ),
    Scenario(
        "nothing-new",
        "Nothing new: start-up",
        [
            Case(TAP_AKUITY, FEW, resumed=True, most_requests=1),
            Case(SDK_DEFAULT, FEW, resumed=True),
        ],
        rounds=15,
    ),
)
