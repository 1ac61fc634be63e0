"""What is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks import programs
from benchmarks.data import Data
from benchmarks.distributions import NAMES
from benchmarks.programs import MODES, PRESENT, TAP_AKUITY, Program

if TYPE_CHECKING:
    from collections.abc import Iterable

EIGHT, ONE = (programs.tap_akuity(concurrency=number) for number in (8, 1))
READERS = (
    programs.SDK_DEFAULT,
    programs.AIRBYTE,
    programs.DLT_EXTRACT,
    programs.REQUESTS_ORJSON,
)
"""What a user could pick instead, to read the endpoint."""

LATENCY = 0.1
SMOKE_RECORDS = 250


class Case(NamedTuple):
    """A program that does a job, beside others in the same round."""

    program: Program
    data: Data
    page_size: int | None = 500
    """The program's own default, if None."""

    latency: float = 0.0
    row_cost: float = 0.0
    resumed: bool = False
    detail: str = ""
    """What tells it from the same program in another case."""

    rounds: int | None = None
    """Fewer rounds than the scenario has, where it takes long."""

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
        """Make a tiny one, of what runs without installing anything."""
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
PATCHES = Data(10_000, patch_bytes=20_000)
PAGE_SIZES = (500, 1000)
EVEN, TEN_TIMES = Data(100_000, "even"), Data(1_000_000, "even")
COST = 1e-6
"""Seconds for each row that an offset skips."""

SCENARIOS = (
    Scenario(
        "no-latency",
        "No latency, page size 1,000",
        tuple(Case(one, PLENTY, 1000) for one in (TAP_AKUITY, *READERS)),
        rounds=5,
    ),
    Scenario(
        "latency",
        "100 ms for each request, page size 500",
        tuple(
            Case(one, PLENTY, latency=LATENCY)
            for one in (TAP_AKUITY, EIGHT, ONE, *READERS)
        ),
        rounds=2,
    ),
    Scenario(
        "offset-cost",
        "100 ms for each request and 1 µs for each skipped row, page size 500",
        (
            Case(TAP_AKUITY, EVEN, 500, LATENCY, COST),
            *(Case(one, EVEN, 500, LATENCY, COST, rounds=1) for one in READERS),
            Case(
                TAP_AKUITY, TEN_TIMES, 500, LATENCY, COST, detail="ten times the events"
            ),
        ),
        rounds=2,
    ),
    Scenario(
        "unknown-member",
        "A member that nobody knows in every event, no latency, page size 1,000",
        tuple(
            Case(TAP_AKUITY, PLENTY._replace(unknown=unknown), 1000, detail=detail)
            for unknown, detail in ((False, ""), (True, "unknown member"))
        ),
        rounds=9,
    ),
    Scenario(
        "page-size",
        "Page sizes: 100 ms for each request, and none where clustered",
        (
            *(
                Case(TAP_AKUITY, data, size, latency, detail=f"{what}, {size} a page")
                for what, data, latency in (
                    ("plain", PLENTY, LATENCY),
                    ("patches of 20 KB", PATCHES, LATENCY),
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
            Case(
                TAP_AKUITY,
                Data(100_000, name),
                size,
                detail=f"{name}, {size} a page",
            )
            for name in NAMES
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
                for name in NAMES
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
    Scenario(
        "duckdb",
        "End to end into DuckDB, no latency, page size 1,000",
        tuple(
            Case(one, PLENTY, 1000)
            for one in (
                programs.TAP_INTO_DUCKDB,
                programs.DLT_INTO_DUCKDB,
                programs.DLT_PARQUET_INTO_DUCKDB,
            )
        ),
        rounds=3,
    ),
)


def warm_up(scenarios: Iterable[Scenario]) -> Scenario:
    """Make a tiny scenario of all programs, so that no round compiles modules."""
    cases = {
        case.program.name: Case(case.program, Data(SMOKE_RECORDS), SMOKE_RECORDS)
        for scenario in scenarios
        for case in scenario.cases
    }
    return Scenario("warm-up", "Warming up", tuple(cases.values()))
