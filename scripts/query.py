"""Queries the DuckDB file of the demo: `python -m scripts.query "SELECT …"`."""

import argparse
import shutil
import sys
from pathlib import Path

import duckdb

from scripts.warehouse import DATABASE


def main(arguments: list[str] | None = None) -> int:
    """Print the result of an SQL query."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.query", description=__doc__
    )
    parser.add_argument("sql", help="the query")
    parser.add_argument("--file", type=Path, default=DATABASE, help="the DuckDB file")
    options = parser.parse_args(arguments)
    try:
        with duckdb.connect(options.file, read_only=True) as connection:
            result = connection.sql(options.sql)
            if result is not None:
                result.show(max_width=shutil.get_terminal_size().columns)
    except duckdb.Error as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
