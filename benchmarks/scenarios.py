"""The scenarios to measure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import programs
from benchmarks.programs import END_DATE, MODES, PRESENT, TAP_AKUITY, Program
from sandbox.data import Dataset
from sandbox.instants import SHAPES, Distribution

if TYPE_CHECKING:
    from collections.abc import Iterable

EIGHT, ONE = (programs.tap_akuity(concurrency=number) for number in (8, 1))
LATENCY = 0.1
PAGE_SIZES = (500, 1000)
SMOKE_RECORDS = 250
DAYS = 6 * 365 + 2
"""From `START_DATE` to `END_DATE`."""


class Data(NamedTuple):
    """Events of an organization: the same in each run, whatever the date."""

    records: int
    distribution: Distribution = "organization"
    unknown_members: bool = False
    patch_bytes: int | None = None

    def dataset(self) -> Dataset:
        """Return the dataset of these events."""
        until = datetime.strptime(END_DATE, "%Y-%m-%dT%H:%M:%S%z")
        days = DAYS if self.distribution in SHAPES else None
        return Dataset(seed=1, until=until, days=days, **self._asdict())

    def options(self) -> list[str]:
        """Return the sandbox's options for the same events."""
        found = [f"--until={END_DATE}", "--seed=1", f"--records={self.records}"]
        found.append(f"--distribution={self.distribution}")
        if self.distribution in SHAPES:
            found.append(f"--days={DAYS}")
        if self.unknown_members:
            found.append("--unknown-members")
        if self.patch_bytes:
            found.append(f"--patch-bytes={self.patch_bytes}")
        return found


class Case(NamedTuple):
    """A program and its job, compared with others in the same round."""

    program: Program
    data: Data
    page_size: int | None = 500
    """The program's default, if `None`."""

    latency: float = 0.0
    resumed: bool = False
    detail: str = ""
    """What distinguishes it from the same program in another case."""

    @property
    def name(self) -> str:
        """The program and the detail."""
        return ": ".join(filter(None, (self.program.name, self.detail)))


class Scenario(NamedTuple):
    """Cases that run in turn; the first is what the others are compared with."""

    name: str
    title: str
    cases: tuple[Case, ...]
    rounds: int = 1

    def smoke(self) -> Scenario:
        """Return a tiny version with the programs that need no installation."""
        cases = [
            case._replace(
                data=case.data._replace(records=SMOKE_RECORDS),
                page_size=case.page_size and case.page_size // 10,
                latency=case.latency / 100,
            )
            for case in self.cases
            if case.program.environment in PRESENT
        ]
        return self._replace(cases=tuple(cases), rounds=1)


PLENTY = Data(100_000)
MILLION = Data(1_000_000, "clustered")

SCENARIOS = (
    Scenario(
        "no-latency",
        "No latency, page size 1,000",
        tuple(
            Case(one, PLENTY, 1000)
            for one in (
                TAP_AKUITY,
                programs.SDK_DEFAULT,
                programs.DLT_EXTRACT,
                programs.REQUESTS_ORJSON,
            )
        ),
        rounds=5,
    ),
    Scenario(
        "latency",
        "100 ms for each request, page size 500",
        tuple(
            Case(one, PLENTY, latency=LATENCY)
            for one in (TAP_AKUITY, EIGHT, programs.SDK_DEFAULT)
        ),
        rounds=2,
    ),
    Scenario(
        "unknown-members",
        "Members that nobody knows in every event, no latency, page size 1,000",
        tuple(
            Case(TAP_AKUITY, PLENTY._replace(unknown_members=unknown), 1000, detail=it)
            for unknown, it in ((False, ""), (True, "unknown members"))
        ),
        rounds=7,
    ),
    Scenario(
        "page-size",
        "Page sizes: 100 ms for each request, and none where clustered",
        (
            *(
                Case(TAP_AKUITY, data, size, latency, detail=f"{what}, {size} a page")
                for what, data, latency in (
                    ("plain", PLENTY, LATENCY),
                    ("patches of 20 KB", Data(10_000, patch_bytes=20_000), LATENCY),
                    ("clustered", MILLION, 0.0),
                )
                for size in PAGE_SIZES
            ),
            Case(TAP_AKUITY, MILLION, None, detail="clustered, default settings"),
        ),
    ),
    Scenario(
        "requests",
        "Requests for each distribution, no latency",
        tuple(
            Case(TAP_AKUITY, Data(100_000, name), size, detail=f"{name}, {size} a page")
            for name in SHAPES
            for size in PAGE_SIZES
        ),
    ),
    Scenario(
        "speed-up",
        "8 requests at a time and 1, 100 ms for each request, page size 500",
        (
            Case(programs.TAP_VERSION, Data(60_000, "even")),
            *(
                Case(one, Data(60_000, name), latency=LATENCY, detail=name)
                for name in SHAPES
                for one in (EIGHT, ONE)
            ),
        ),
    ),
    Scenario(
        "modes",
        "Deselected, flattened, mapped and in batches, no latency, page size 1,000",
        tuple(
            Case(one, PLENTY, 1000)
            for make in (programs.tap_akuity, programs.sdk_default)
            for one in (make(), *map(make, MODES))
        ),
        rounds=3,
    ),
    Scenario(
        "nothing-new",
        "Nothing new: start-up",
        tuple(
            Case(one, Data(1000), resumed=True)
            for one in (
                TAP_AKUITY,
                programs.SDK_DEFAULT,
                programs.EMPTY_TAP,
                programs.TAP_VERSION,
            )
        ),
        rounds=15,
    ),
)


def warm_up(scenarios: Iterable[Scenario]) -> Scenario:
    """Return a tiny scenario with all programs, so that no round compiles modules."""
    cases = {
        case.program.name: Case(case.program, Data(SMOKE_RECORDS), SMOKE_RECORDS)
        for scenario in scenarios
        for case in scenario.cases
    }
    return Scenario("warm-up", "Warming up", tuple(cases.values()))
