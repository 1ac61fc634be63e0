"""What the tap has to reach, and whether it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks import programs, scenarios

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.killing import Killed
    from benchmarks.results import Results, Table

TAP = programs.TAP_AKUITY.name
SDK_DEFAULT = programs.SDK_DEFAULT.name
LARGEST_OFFSET = 10_000
"""Rows that a page may skip, about."""

ABOUT = 1.05
"""What "about" may add to it."""

WINDOW = 11_000
"""Records, at most, of one window."""

LOOKBACK = 0.05
"""What the lookback may add to a window."""


MANY = 10_000
"""From here on no fractions."""


class Target(NamedTuple):
    """Something to reach."""

    what: str
    target: str
    measured: str
    met: bool


def targets(results: Results) -> list[Target]:
    """Hold the results against what is to be reached.

    Args:
        results: Any; what was not measured is left out.

    Returns:
        One for each row of the table.
    """
    checks = {
        scenarios.NO_LATENCY: _no_latency,
        scenarios.LATENCY: _latency,
        scenarios.NOTHING_NEW: _nothing_new,
        scenarios.CLUSTERED: _clustered,
    }
    found: list[Target] = []
    for name, check in checks.items():
        table = results.table(name)
        if table is not None:
            found += check(table)
    fewer = results.table(scenarios.OFFSET_COST)
    more = results.table(scenarios.OFFSET_COST_MORE)
    if fewer is not None and more is not None:
        found += _offset_cost(fewer, more)
    if results.killed is not None:
        found += _killed(results.killed)
    return found


def _at_most(what: str, value: float, limit: float, unit: str = "") -> Target:
    text = f"{value:,.4g}" if value < MANY else f"{value:,.0f}"
    return Target(what, f"at most {limit:,g}{unit}", text + unit, value <= limit)


def _faster(what: str, value: float, least: float) -> Target:
    text = f"at least {least:g} times faster" if least > 1 else "faster"
    return Target(what, text, f"{value:.2f} times", value >= least)


def _no_latency(table: Table) -> Iterator[Target]:
    tap = table.row(TAP).seconds
    script = table.row(programs.REQUESTS_ORJSON.name).seconds
    sdk_default = table.row(SDK_DEFAULT).seconds
    dlt = table.row(programs.DLT_EXTRACT.name).seconds
    what = "No latency, beside"
    yield _at_most(f"{what} the script", tap / script, 2, " times")
    yield _faster(f"{what} the SDK default", sdk_default / tap, 3.5)
    yield _faster(f"{what} dlt's extract alone", dlt / tap, 1)


def _latency(table: Table) -> Iterator[Target]:
    sdk_default = table.row(SDK_DEFAULT).seconds
    four = table.row(TAP).seconds
    eight = table.row(scenarios.EIGHT_AT_A_TIME.name).seconds
    one = table.row(scenarios.ONE_AT_A_TIME.name).seconds
    what = "100 ms latency"
    yield _faster(f"{what}, beside the SDK default", sdk_default / four, 4)
    eight_at_a_time = f"{what}, concurrency 8, beside"
    yield _faster(f"{eight_at_a_time} the SDK default", sdk_default / eight, 8)
    yield _faster(f"{eight_at_a_time} concurrency 1", one / eight, 6)


def _offset_cost(fewer: Table, more: Table) -> Iterator[Target]:
    row = more.row(TAP)
    what = f"{more.records:,} records with offset cost"
    # Ten times the records may take eleven times as long.
    times = more.records / fewer.records
    growth = row.seconds / fewer.row(TAP).seconds
    yield _at_most(f"{what}, beside {fewer.records:,}", growth, 1.1 * times, " times")
    yield from _reading(more, what, 1.05)


def _clustered(table: Table) -> Iterator[Target]:
    return _reading(table, f"{table.records:,} records, heavily clustered", 1.15)


def _reading(table: Table, what: str, surplus: float) -> Iterator[Target]:
    row = table.row(TAP)
    pages = table.records / table.page_size
    yield _at_most(f"{what}, peak RSS", row.peak_rss_mb, 150, " MB")
    yield _at_most(f"{what}, requests", row.requests, round(surplus * pages))
    yield Target(
        f"{what}, largest offset",
        f"about {LARGEST_OFFSET:,}",
        f"{row.max_offset:,}",
        row.max_offset <= ABOUT * LARGEST_OFFSET,
    )


def _nothing_new(table: Table) -> Iterator[Target]:
    tap = table.row(TAP)
    empty = table.row(programs.EMPTY_TAP.name)
    yield _at_most("Nothing new, requests", tap.requests, 1)
    yield _at_most(
        "Nothing new, beside importing singer-sdk and building an empty tap",
        tap.seconds / empty.seconds,
        1.3,
        " times",
    )


def _killed(killed: Killed) -> Iterator[Target]:
    what = f"{killed.records:,} records, killed {killed.kills} times"
    yield _at_most(f"{what}, missing", killed.missing, 0)
    yield Target(
        f"{what}, read twice at most",
        f"a window ({WINDOW:,}) and the lookback",
        f"{killed.twice_max:,}",
        killed.twice_max <= (1 + LOOKBACK) * WINDOW,
    )
