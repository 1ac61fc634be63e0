"""What the tap has to reach, and whether it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks import programs, scenarios
from benchmarks.distributions import NAMES
from harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchmarks.killing import Killed
    from benchmarks.measuring import Row, Table

TAP = programs.TAP_AKUITY.name
SDK_DEFAULT = programs.SDK_DEFAULT.name
LARGEST_OFFSET = 11_000
PEAK_MB = 150
LINES = 2850
"""Of the tap, comments and docstrings included."""

SURPLUS = {500: 1.06, 1000: 1.12}
"""Requests beside the pages that there are, by page size."""

WINDOW = 11_000
"""Events, at most, of one window."""

LOOKBACK = 0.05
"""What the lookback may add to a window."""

CPU = (
    (programs.DESELECTED, 1.5),
    (programs.FLATTENED, 1.8),
    (programs.HASHED, 2.2),
    (programs.BATCHES, 2.5),
)
"""CPU beside the plain run."""


class Target(NamedTuple):
    """Something to reach."""

    what: str
    target: str
    measured: str
    met: bool


def at_most(what: str, value: float, limit: float, unit: str = "") -> Target:
    """Want a small number."""
    return Target(
        what, f"at most {limit:,g}{unit}", _number(value) + unit, value <= limit
    )


def faster(what: str, value: float, least: float) -> Target:
    """Want a large ratio."""
    text = f"at least {least:g} times" if least > 1 else "faster"
    return Target(what, text, f"{value:.2f} times", value >= least)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def targets(tables: Iterable[Table], killed: Killed | None = None) -> list[Target]:
    """Compare results with what is to be reached.

    Args:
        tables: Any; what was not measured is left out.
        killed: Likewise.
    """
    found = [one for table in tables for one in _CHECKS[table.scenario.name](table)]
    if killed:
        what = f"{killed.records:,} events, killed {killed.kills} times"
        found.append(at_most(f"{what}, missing", killed.missing, 0))
        most = WINDOW * (1 + LOOKBACK)
        found.append(at_most(f"{what}, read twice", killed.twice_max, most))
    return found


def lines() -> Target:
    """Count the lines of the tap."""
    paths = (ROOT / "tap_akuity").rglob("*.py")
    count = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)
    return at_most("Lines of `tap_akuity/`", count, LINES)


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


def _offset_cost(table: Table) -> Iterator[Target]:
    fewer, more = table.rows[0], table.rows[-1]
    what = f"{more.case.data.records:,} events with offset cost"
    # Ten times the events may take eleven times as long.
    growth = 1.1 * more.case.data.records / fewer.case.data.records
    ratio = more.ratio("seconds", fewer)
    yield at_most(f"{what}, beside a tenth of them", ratio, growth, " times")
    yield _memory(more, what)
    yield from _requests_of(more, what)


def _unknown_member(table: Table) -> Iterator[Target]:
    plain, unknown = table.rows
    what = "A member that nobody knows in every event, beside none"
    yield at_most(what, unknown.ratio("seconds", plain), 1.05, " times")


def _page_size(table: Table) -> Iterator[Target]:
    clustered = table.rows[-1]
    what = f"{clustered.case.data.records:,} events, clustered, default settings"
    yield _memory(clustered, what)


def _requests(table: Table) -> Iterator[Target]:
    for row in table.rows:
        yield from _requests_of(row, f"Distribution {row.case.detail}")


def _memory(row: Row, what: str) -> Target:
    return at_most(f"{what}, peak RSS", row.worst("peak_rss") / 1e6, PEAK_MB, " MB")


def _requests_of(row: Row, what: str) -> Iterator[Target]:
    size = row.case.page_size or 500
    most = SURPLUS[size] * row.case.data.records / size + 3
    yield at_most(f"{what}, requests", row.worst("requests"), int(most))
    offset = row.worst("max_offset")
    yield at_most(f"{what}, largest offset", offset, LARGEST_OFFSET)


def _speed_up(table: Table) -> Iterator[Target]:
    start_up = table.rows[0].median("seconds")
    for name in NAMES:
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
    "offset-cost": _offset_cost,
    "unknown-member": _unknown_member,
    "page-size": _page_size,
    "requests": _requests,
    "speed-up": _speed_up,
    "modes": _modes,
    "nothing-new": _nothing_new,
    "duckdb": lambda _: (),
}
