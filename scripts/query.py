"""Queries a DuckDB file, by default the demo's: `python -m scripts.query --help`."""

import argparse
import csv
import shutil
import signal
import sys
from pathlib import Path

import duckdb

from scripts.warehouse import DATABASE

QUERY = duckdb.ExpectedResultType.QUERY_RESULT


def main(arguments: list[str] | None = None) -> int:
    """Run SQL, and print the result of its last query."""
    about = "Queries a DuckDB file."
    parser = argparse.ArgumentParser("python -m scripts.query", description=about)
    sql = parser.add_mutually_exclusive_group(required=True)
    sql.add_argument("sql", nargs="?", help="the query")
    text = "run the SQL of this file, which may create views"
    sql.add_argument("--file", type=Path, help=text)
    text = f"the DuckDB file (default: {DATABASE.name})"
    parser.add_argument("--database", type=Path, default=DATABASE, help=text)
    parser.add_argument("--csv", action="store_true", help="print CSV")
    options = parser.parse_args(arguments)
    if not options.database.exists():
        parser.error(f"there is no {options.database}")
    try:
        text = options.file.read_text("utf-8") if options.file else options.sql
        with duckdb.connect(options.database, read_only=not options.file) as connection:
            result = connection.sql(text)
            last = connection.extract_statements(text)[-1:]
            # DuckDB 2 also returns a result of what is not a query.
            if result is not None and last[0].expected_result_type == [QUERY]:
                show(result, as_csv=options.csv)
    except (OSError, UnicodeError, duckdb.Error) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def show(result: duckdb.DuckDBPyRelation, *, as_csv: bool) -> None:
    """Print rows as CSV, as a table, or below each other if the table is too wide."""
    rows = result.fetchall()
    names, columns = result.columns, shutil.get_terminal_size().columns
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    table = names, map(str, result.types), *cells
    # DuckDB frames each column with three characters.
    widths = [3 + max(map(len, column)) for column in zip(*table, strict=True)]
    if as_csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows([names, *cells])
    elif sum(widths) < columns:
        result.show(max_width=columns)
    else:
        longest = max(map(len, names))
        for number, row in enumerate(cells, 1):
            sys.stdout.write(f"--- {number}\n")
            for name, cell in zip(names, row, strict=True):
                # An event may hold what would change the terminal.
                safe = (c if c.isprintable() else ascii(c)[1:-1] for c in cell)
                sys.stdout.write(f"{name:{longest}}  {''.join(safe)}\n")


if __name__ == "__main__":
    # Like other commands, end in silence if the reader of a pipe has gone.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
