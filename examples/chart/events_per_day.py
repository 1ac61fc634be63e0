"""Draws how many events there were each day, by type of actor, from a DuckDB file.

    python events_per_day.py audit.duckdb events_per_day.svg

The suffix of the picture's name is its format, for example svg, png or pdf. Requires
the packages duckdb and matplotlib.
"""

from __future__ import annotations

import argparse
import io
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import NamedTuple

import duckdb

# Days are those of UTC.
QUERY = """
    SELECT
        coalesce(nullif(actor->>'type', ''), 'unknown'),
        CAST(timestamp AS date),
        count(*),
        count(*) FILTER (action = 'promoted')
    FROM akuity.audit_logs
    GROUP BY ALL
    ORDER BY ALL
"""

# A day of release has at least so many times the usual number of promotions, and at
# least so many: where one is usual, four are chance.
MANY_PROMOTIONS = 4
MIN_PROMOTIONS = 8

# Okabe and Ito's colors, which color-blind people can tell apart, too.
COLORS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9")
OTHER = "other"
OTHER_COLOR = "#999999"

RELEASE = "day of release"

Series = dict[str, list[int]]


class Events(NamedTuple):
    """The number of events of each day."""

    days: list[date]
    """All days from the first to the last."""

    series: Series
    """For each of the most frequent types of actors, and for the others together, its
    number on each of these days."""

    releases: list[date]
    """The days with many more promotions than usual, which is the median of the days
    that have any."""


def events_per_day(database: Path) -> Events:
    """Count the events.

    Args:
        database: A DuckDB file with the table `akuity.audit_logs`.
    """
    with duckdb.connect(str(database), read_only=True) as connection:
        rows: list[tuple[str, date, int, int]] = connection.execute(QUERY).fetchall()
    if not rows:
        return Events([], {}, [])
    first, last = min(row[1] for row in rows), max(row[1] for row in rows)
    days = [first + timedelta(n) for n in range((last - first).days + 1)]
    totals: Counter[str] = Counter()
    promotions: Counter[date] = Counter()
    for actor, day, events, promoted in rows:
        totals[actor] += events
        promotions[day] += promoted
    names = [actor for actor, _ in totals.most_common(len(COLORS))]
    if len(totals) > len(names):
        names.append(OTHER)
    series = {name: [0] * len(days) for name in names}
    for actor, day, events, _ in rows:
        series[actor if actor in series else OTHER][(day - first).days] += events
    some = [number for number in promotions.values() if number]
    many = max(MIN_PROMOTIONS, MANY_PROMOTIONS * median(some or [0]))
    releases = [day for day in days if promotions[day] >= many]
    return Events(days, series, releases)


def draw(events: Events, kind: str) -> bytes:
    """Draw the numbers, stacked.

    Args:
        events: The numbers.
        kind: The format of the picture, as matplotlib calls it.

    Returns:
        The picture; as an SVG, it is the same for the same numbers.
    """
    import matplotlib as mpl  # noqa: PLC0415 - not needed to count
    from matplotlib import dates  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    # White, so that it can be read on a dark page, too.
    figure = Figure(figsize=(9, 3.6), facecolor="white")
    axes = figure.add_axes((0.07, 0.1, 0.87, 0.76))
    days, series, releases = events
    edges = dates.date2num([*days, days[-1] + timedelta(1)])
    colors = dict(zip(series, COLORS, strict=False)) | {OTHER: OTHER_COLOR}
    top = [0] * len(days)
    for name, numbers in series.items():
        bottom, top = top, [sum(pair) for pair in zip(top, numbers, strict=True)]
        axes.stairs(
            top,
            edges,
            baseline=bottom,
            fill=True,
            color=colors[name],
            label=name,
            gid=f"events-{name}",
        )
    if releases:
        axes.plot(
            [dates.date2num(day) + 0.5 for day in releases],
            [top[days.index(day)] + max(top) * 0.05 for day in releases],
            linestyle="none",
            marker="v",
            markersize=7,
            color="#333333",
            label=RELEASE,
            gid="releases",
        )
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, max(top) * 1.12)
    axes.set_ylabel("events per day")
    axes.xaxis.set_major_locator(dates.AutoDateLocator(maxticks=8))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%Y-%m-%d"))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    figure.legend(loc="upper center", ncols=len(series) + 1, frameon=False)
    picture = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "events per day", "svg.fonttype": "none"}):
        if kind != "svg":
            figure.savefig(picture, format=kind, dpi=150)
            return picture.getvalue()
        figure.savefig(picture, format=kind, metadata={"Date": None, "Creator": None})
    lines = picture.getvalue().decode().splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines).encode()


def main() -> None:
    """Draw the picture that the command line names."""
    parser = argparse.ArgumentParser(description="Draws the events of each day.")
    parser.add_argument("database", type=Path, help="the DuckDB file")
    parser.add_argument("picture", type=Path, help="the file to write, such as x.svg")
    options = parser.parse_args()
    events = events_per_day(options.database)
    if not events.days:
        parser.exit(1, f"There are no events in {options.database}.\n")
    kind = options.picture.suffix.lstrip(".").lower()
    try:
        picture = draw(events, kind)
    except ValueError as error:
        parser.exit(1, f"Cannot draw {options.picture}: {error}\n")
    options.picture.write_bytes(picture)


if __name__ == "__main__":
    main()
