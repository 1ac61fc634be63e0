"""The scenarios to measure."""

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from benchmarks import programs
from benchmarks.programs import END_DATE, PRESENT, SDK_DEFAULT, TAP_AKUITY, Program
from sandbox.data import Dataset
from sandbox.instants import SHAPES, Distribution

EIGHT, ONE = (programs.tap_akuity(concurrency=number) for number in (8, 1))
PEERS = (SDK_DEFAULT, programs.DLT_EXTRACT, programs.REQUESTS_ORJSON)
START_UP = (SDK_DEFAULT, programs.EMPTY_TAP, programs.TAP_VERSION)
LATENCY = 0.1
PAGE_SIZES = (500, 1000)
DAYS = 6 * 365 + 2
"""From `START_DATE` to `END_DATE`."""


def events(records: int, distribution: Distribution = "organization") -> Dataset:
    """Return events of an organization: the same in each run, whatever the date."""
    until = datetime.strptime(END_DATE, "%Y-%m-%dT%H:%M:%S%z")
    days = DAYS if distribution in SHAPES else None
    return Dataset(records, 1, until, days, distribution)


def options(data: Dataset) -> list[str]:
    """Return the sandbox's options for the same events."""
    given = {**vars(data), "until": END_DATE}
    return [
        f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}")
        for name, value in given.items()
        if value
    ]


class Case(NamedTuple):
    """A program and its job, compared with others in the same round."""

    program: Program
    data: Dataset
    page_size: int | None = 500
    """The program's default, if `None`."""

    latency: float = 0.0
    resumed: bool = False
    """Whether an earlier run has read everything."""

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
    cases: list[Case]
    rounds: int = 1

    def tiny(self, *, present: bool) -> "Scenario":
        """Return a tiny version, perhaps without what has to be installed."""
        cases = [
            case._replace(
                data=replace(case.data, records=250),
                page_size=case.page_size and case.page_size // 10,
                latency=case.latency / 100,
            )
            for case in self.cases
            if case.program.environment in PRESENT or not present
        ]
        return self._replace(cases=cases, rounds=1)


PLENTY = events(100_000)
MILLION = events(1_000_000, "clustered")
UNKNOWN = replace(PLENTY, unknown_members=True)
PATCHES = replace(PLENTY, records=10_000, patch_bytes=20_000)

SCENARIOS = (
    Scenario(
        "no-latency",
        "No latency, page size 1,000",
        [Case(one, PLENTY, 1000) for one in (TAP_AKUITY, *PEERS)],
        rounds=5,
    ),
    Scenario(
        "latency",
        "100 ms for each request, page size 500",
        [
            Case(one, PLENTY, latency=LATENCY)
            for one in (TAP_AKUITY, EIGHT, SDK_DEFAULT)
        ],
        rounds=2,
    ),
    Scenario(
        "unknown-members",
        "Members that nobody knows in every event, no latency, page size 1,000",
        [
            Case(TAP_AKUITY, PLENTY, 1000),
            Case(TAP_AKUITY, UNKNOWN, 1000, detail="unknown members"),
        ],
        rounds=7,
    ),
    Scenario(
        "page-size",
        "Page sizes: 100 ms for each request, and none where clustered",
        [
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
        ],
    ),
    Scenario(
        "requests",
        "Requests for each distribution, no latency",
        [
            Case(TAP_AKUITY, events(100_000, it), size, detail=f"{it}, {size} a page")
            for it in SHAPES
            for size in PAGE_SIZES
        ],
    ),
    Scenario(
        "speed-up",
        "8 requests at a time and 1, 100 ms for each request, page size 500",
        [
            Case(programs.TAP_VERSION, events(60_000, "even")),
            *(
                Case(one, events(60_000, name), latency=LATENCY, detail=name)
                for name in SHAPES
                for one in (EIGHT, ONE)
            ),
        ],
    ),
    Scenario(
        "modes",
        "Deselected, flattened, mapped and in batches, no latency, page size 1,000",
        [
            Case(make(mode), PLENTY, 1000)
            for make in (programs.tap_akuity, programs.sdk_default)
            for mode in (programs.PLAIN, *programs.MODES)
        ],
        rounds=3,
    ),
    Scenario(
        "nothing-new",
        "Nothing new: start-up",
        [Case(one, events(1000), resumed=True) for one in (TAP_AKUITY, *START_UP)],
        rounds=15,
    ),
)
