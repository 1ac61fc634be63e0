"""Draws how many events there were each day, by action, from a DuckDB file.

    python events_per_day.py audit.duckdb events_per_day.svg

Needs the packages duckdb and matplotlib.
"""

from __future__ import annotations

import argparse
import io
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import duckdb

# Days are those of UTC.
QUERY = """
    SELECT coalesce(action, 'unknown'), CAST(timestamp AS date), count(*)
    FROM akuity.audit_logs
    GROUP BY ALL
    ORDER BY ALL
"""

# Okabe and Ito's colors, which people who see fewer colors can tell apart, too.
COLORS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9")
OTHER = "other"
OTHER_COLOR = "#999999"

Series = dict[str, list[int]]


def events_per_day(database: Path) -> tuple[list[date], Series]:
    """Count the events.

    Args:
        database: A DuckDB file with the table `akuity.audit_logs`.

    Returns:
        All days from the first to the last, and for each of the most frequent actions,
        and for the others together, its number on each of these days.
    """
    with duckdb.connect(str(database), read_only=True) as connection:
        rows: list[tuple[str, date, int]] = connection.execute(QUERY).fetchall()
    if not rows:
        return [], {}
    first, last = min(day for _, day, _ in rows), max(day for _, day, _ in rows)
    days = [first + timedelta(n) for n in range((last - first).days + 1)]
    totals: Counter[str] = Counter()
    for action, _, events in rows:
        totals[action] += events
    names = [action for action, _ in totals.most_common(len(COLORS))]
    if len(totals) > len(names):
        names.append(OTHER)
    series = {name: [0] * len(days) for name in names}
    for action, day, events in rows:
        series[action if action in series else OTHER][(day - first).days] += events
    return days, series


def draw(days: list[date], series: Series) -> str:
    """Draw the numbers, one upon the other.

    Returns:
        An SVG, the same for the same numbers.
    """
    import matplotlib as mpl  # noqa: PLC0415 - not needed to count
    from matplotlib import dates  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    # White, so that it can be read on a dark page, too.
    figure = Figure(figsize=(9, 3.4), facecolor="white")
    axes = figure.add_axes((0.07, 0.1, 0.87, 0.77))
    edges = dates.date2num([*days, days[-1] + timedelta(1)])
    colors = dict(zip(series, COLORS, strict=False)) | {OTHER: OTHER_COLOR}
    top = [0] * len(days)
    for name, events in series.items():
        bottom, top = top, [sum(pair) for pair in zip(top, events, strict=True)]
        axes.stairs(
            top,
            edges,
            baseline=bottom,
            fill=True,
            color=colors[name],
            label=name,
            gid=f"events-{name}",
        )
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, max(top) * 1.05)
    axes.set_ylabel("events per day")
    axes.xaxis.set_major_locator(dates.AutoDateLocator(maxticks=8))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%Y-%m-%d"))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    figure.legend(loc="upper center", ncols=len(series), frameon=False)
    svg = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "events per day", "svg.fonttype": "none"}):
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    return "".join(f"{line.rstrip()}\n" for line in svg.getvalue().splitlines())


def main() -> None:
    """Draw what the command line names."""
    parser = argparse.ArgumentParser(description="Draws the events of each day.")
    parser.add_argument("database", type=Path, help="the DuckDB file")
    parser.add_argument("picture", type=Path, help="the SVG file to write")
    options = parser.parse_args()
    days, series = events_per_day(options.database)
    if not days:
        parser.exit(1, f"There are no events in {options.database}.\n")
    options.picture.write_text(draw(days, series), encoding="utf-8")


if __name__ == "__main__":
    main()
