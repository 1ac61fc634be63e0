"""The performance targets of the tap, compared with measurements."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from benchmarks import programs, scenarios
from benchmarks.measuring import Table
from sandbox.instants import SHAPES

TAP = programs.TAP_AKUITY.name
SDK_DEFAULT = programs.SDK_DEFAULT.name


class Target(NamedTuple):
    """A target, the measured value, and whether they agree."""

    what: str
    target: str
    measured: str
    met: bool


def targets(tables: Iterable[Table]) -> list[Target]:
    """Compare the measurements of any scenarios with their targets."""
    return [one for table in tables for one in _CHECKS[table.scenario.name](table)]


def _at_most(what: str, value: float, limit: float, unit: str = "") -> Target:
    measured = f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
    return Target(what, f"at most {limit:,g}{unit}", measured + unit, value <= limit)


def _faster(what: str, value: float, least: float) -> Target:
    text = f"at least {least:g} times" if least > 1 else "faster"
    return Target(what, text, f"{value:.2f} times", value >= least)


def _no_latency(table: Table) -> Iterator[Target]:
    tap, *peers = table.rows
    sdk_default, dlt, script = (peer.ratio("seconds", tap) for peer in peers)
    yield _at_most("No latency, beside the script", 1 / script, 1.8, " times")
    yield _faster("No latency, beside the SDK default", sdk_default, 5)
    yield _faster("No latency, beside dlt's extract alone", dlt, 1)


def _latency(table: Table) -> Iterator[Target]:
    for name, least in ((TAP, 4), (scenarios.EIGHT.name, 8)):
        ratio = table.row(SDK_DEFAULT).ratio("seconds", table.row(name))
        yield _faster(f"100 ms, {name} beside the SDK default", ratio, least)


def _unknown_members(table: Table) -> Iterator[Target]:
    plain, unknown = table.rows
    what = "Members that nobody knows in every event, beside none"
    yield _at_most(what, unknown.ratio("seconds", plain), 1.05, " times")


def _page_size(table: Table) -> Iterator[Target]:
    what = "1,000,000 events, clustered, default settings, peak RSS"
    yield _at_most(what, table.rows[-1].worst("peak_rss") / 1e6, 150, " MB")


def _requests(table: Table) -> Iterator[Target]:
    for size, surplus in ((500, 1.06), (1000, 1.12)):
        rows = [row for row in table.rows if row.case.page_size == size]
        most = int(surplus * rows[0].case.data.records / size + 3)
        what = f"Every distribution, {size} a page"
        requests = max(row.worst("requests") for row in rows)
        yield _at_most(f"{what}, requests", requests, most)
        offset = max(row.worst("max_offset") for row in rows)
        yield _at_most(f"{what}, largest offset", offset, 11_000)


def _speed_up(table: Table) -> Iterator[Target]:
    start_up = table.rows[0].median("seconds")
    for name in SHAPES:
        eight, one = (
            table.row(f"{program.name}: {name}").median("seconds") - start_up
            for program in (scenarios.EIGHT, scenarios.ONE)
        )
        what = f"8 at a time beside 1, without start-up, {name}"
        yield _faster(what, one / eight, 6.5)


def _modes(table: Table) -> Iterator[Target]:
    for mode, most in zip(programs.MODES, (1.5, 1.8, 2.2, 2.5), strict=True):
        mine = table.row(programs.tap_akuity(mode).name)
        other = table.row(programs.sdk_default(mode).name)
        what = f"{mode.name[0].upper()}{mode.name[1:]}, CPU beside"
        plain = mine.ratio("cpu_seconds", table.row(TAP))
        yield _at_most(f"{what} the plain run", plain, most, " times")
        yield _faster(f"{what} the SDK default's", other.ratio("cpu_seconds", mine), 4)


def _nothing_new(table: Table) -> Iterator[Target]:
    tap, empty = table.row(TAP), table.row(programs.EMPTY_TAP.name)
    yield _at_most("Nothing new, requests", tap.worst("requests"), 1)
    what = "Nothing new, beside importing singer-sdk and building an empty tap"
    yield _at_most(what, tap.ratio("seconds", empty), 1, " times")


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
