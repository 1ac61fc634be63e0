"""What is measured."""

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from benchmarks import programs
from benchmarks.programs import END_DATE, SDK_DEFAULT, TAP_AKUITY, Program
from sandbox.data import Dataset
from sandbox.instants import SHAPES, Distribution

LATENCY = 0.1
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
        f"--{name.replace('_', '-')}={value}" for name, value in given.items() if value
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

    most_requests: int | None = None
    most_megabytes: int | None = None

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

    def tiny(self, environments: set[str]) -> "Scenario":
        """Return a tiny version of the cases whose programs have an environment."""
        cases = [
            case._replace(
                data=replace(case.data, records=250),
                page_size=case.page_size and case.page_size // 10,
                latency=case.latency / 100,
            )
            for case in self.cases
            if case.program.environment in environments
        ]
        return self._replace(cases=cases, rounds=1)


PLENTY = events(100_000)
AWKWARD = replace(events(100_000, "bursts"), text="awkward")

SCENARIOS = (
    Scenario(
        "no-latency",
        "No latency, page size 1,000",
        [
            Case(one, PLENTY, 1000)
            for one in (TAP_AKUITY, SDK_DEFAULT, programs.DLT, programs.SCRIPT)
        ],
        rounds=5,
    ),
    Scenario(
        "awkward-text",
        "Bursts of text in many scripts, with quotes and U+2028, page size 1,000",
        [
            Case(one, AWKWARD, 1000)
            for one in (TAP_AKUITY, SDK_DEFAULT, programs.SCRIPT)
        ],
        rounds=5,
    ),
    Scenario(
        "latency",
        "100 ms for each request, page size 500",
        [
            *(
                Case(one, PLENTY, latency=LATENCY)
                for one in (
                    TAP_AKUITY,
                    programs.tap_akuity(concurrency=8),
                    programs.tap_akuity(concurrency=1),
                    SDK_DEFAULT,
                )
            ),
            Case(TAP_AKUITY, PLENTY, 1000, LATENCY, detail="1,000 a page"),
        ],
        rounds=2,
    ),
    Scenario(
        "requests",
        "Requests for each distribution, no latency",
        [
            Case(
                TAP_AKUITY,
                events(100_000, shape),
                size,
                detail=f"{shape}, {size} a page",
                most_requests=most,
            )
            for shape in SHAPES
            for size, most in ((500, 215), (1000, 115))
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
        "memory",
        "A million clustered events, and patches of 20 KB, default settings",
        [
            Case(TAP_AKUITY, events(1_000_000, "clustered"), None, most_megabytes=150),
            Case(
                TAP_AKUITY,
                replace(PLENTY, records=10_000, patch_bytes=20_000),
                None,
                detail="patches of 20 KB",
                most_megabytes=200,
            ),
        ],
    ),
    Scenario(
        "nothing-new",
        "Nothing new: start-up",
        [
            Case(TAP_AKUITY, events(1000), resumed=True, most_requests=1),
            Case(SDK_DEFAULT, events(1000), resumed=True),
        ],
        rounds=15,
    ),
)
