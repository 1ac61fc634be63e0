"""The performance targets of the tap, compared with measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks import programs, scenarios
from sandbox.instants import SHAPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchmarks.measuring import Table

TAP = programs.TAP_AKUITY.name
SDK_DEFAULT = programs.SDK_DEFAULT.name
LARGEST_OFFSET = 11_000
PEAK_MB = 150
SURPLUS = {500: 1.06, 1000: 1.12}
"""The maximum ratio of requests to pages, by page size."""

CPU = (
    (programs.DESELECTED, 1.5),
    (programs.FLATTENED, 1.8),
    (programs.HASHED, 2.2),
    (programs.BATCHES, 2.5),
)
"""The maximum ratio of CPU time to that of the plain run."""


class Target(NamedTuple):
    """A target, and the measured value."""

    what: str
    target: str
    measured: str
    met: bool


def at_most(what: str, value: float, limit: float, unit: str = "") -> Target:
    """Return a target with a maximum."""
    return Target(
        what, f"at most {limit:,g}{unit}", _number(value) + unit, value <= limit
    )


def faster(what: str, value: float, least: float) -> Target:
    """Return a target with a minimum ratio."""
    text = f"at least {least:g} times" if least > 1 else "faster"
    return Target(what, text, f"{value:.2f} times", value >= least)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def targets(tables: Iterable[Table]) -> list[Target]:
    """Compare measurements with the targets.

    Args:
        tables: The measurements of any scenarios; those of others are left out.
    """
    return [one for table in tables for one in _CHECKS[table.scenario.name](table)]


def _no_latency(table: Table) -> Iterator[Target]:
    def times(name: str) -> float:
        return table.row(name).ratio("seconds", table.row(TAP))

    what = "No latency, beside"
    script = 1 / times(programs.REQUESTS_ORJSON.name)
    yield at_most(f"{what} the script", script, 1.8, " times")
    yield faster(f"{what} the SDK default", times(SDK_DEFAULT), 5)
    yield faster(f"{what} dlt's extract alone", times(programs.DLT_EXTRACT.name), 1)


def _latency(table: Table) -> Iterator[Target]:
    sdk_default = table.row(SDK_DEFAULT)
    for program, least in ((programs.TAP_AKUITY, 4), (scenarios.EIGHT, 8)):
        ratio = sdk_default.ratio("seconds", table.row(program.name))
        what = f"100 ms, {program.name} beside the SDK default"
        yield faster(what, ratio, least)


def _unknown_members(table: Table) -> Iterator[Target]:
    plain, unknown = table.rows
    what = "Members that nobody knows in every event, beside none"
    yield at_most(what, unknown.ratio("seconds", plain), 1.05, " times")


def _page_size(table: Table) -> Iterator[Target]:
    clustered = table.rows[-1]
    what = f"{clustered.case.data.records:,} events, clustered, default settings"
    peak = clustered.worst("peak_rss") / 1e6
    yield at_most(f"{what}, peak RSS", peak, PEAK_MB, " MB")


def _requests(table: Table) -> Iterator[Target]:
    for row in table.rows:
        what, size = f"Distribution {row.case.detail}", row.case.page_size or 500
        most = SURPLUS[size] * row.case.data.records / size + 3
        yield at_most(f"{what}, requests", row.worst("requests"), int(most))
        offset = row.worst("max_offset")
        yield at_most(f"{what}, largest offset", offset, LARGEST_OFFSET)


def _speed_up(table: Table) -> Iterator[Target]:
    start_up = table.rows[0].median("seconds")
    for name in SHAPES:
        eight, one = (
            table.row(f"{program.name}: {name}").median("seconds") - start_up
            for program in (scenarios.EIGHT, scenarios.ONE)
        )
        what = f"8 at a time beside 1, without start-up, {name}"
        yield faster(what, one / eight, 6.5)


def _modes(table: Table) -> Iterator[Target]:
    for mode, most in CPU:
        mine = table.row(programs.tap_akuity(mode).name)
        other = table.row(programs.sdk_default(mode).name)
        cpu = mine.ratio("cpu_seconds", table.row(TAP))
        name = mode.name.capitalize()
        yield at_most(f"{name}, CPU beside the plain run", cpu, most, " times")
        ratio = other.ratio("cpu_seconds", mine)
        yield faster(f"{name}, CPU beside the SDK default's", ratio, 4)


def _nothing_new(table: Table) -> Iterator[Target]:
    tap, empty = table.row(TAP), table.row(programs.EMPTY_TAP.name)
    yield at_most("Nothing new, requests", tap.worst("requests"), 1)
    what = "Nothing new, beside importing singer-sdk and building an empty tap"
    yield at_most(what, tap.ratio("seconds", empty), 1, " times")


_CHECKS: dict[str, Callable[[Table], Iterable[Target]]] = {
    "no-latency": _no_latency,
    "latency": _latency,
    "unknown-members": _unknown_members,
    "page-size": _page_size,
    "requests": _requests,
    "speed-up": _speed_up,
    "modes": _modes,
    "nothing-new": _nothing_new,
}
