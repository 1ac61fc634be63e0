"""`python -m sandbox`: serve until interrupted."""

from __future__ import annotations

import json
import signal
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from threading import Event

from sandbox.arguments import add_options, read_options
from sandbox.data import Dataset
from sandbox.faults import Plan
from sandbox.server import Sandbox
from sandbox.state import Options
from sandbox.store import Behaviour


def main() -> None:
    """Serve what the command line asks for; say where in one line of JSON."""
    parser = ArgumentParser(
        prog="sandbox",
        description="A local stand-in for Akuity's audit-log API.",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="default: any free one")
    add_options(parser, Dataset)
    add_options(parser, Behaviour)
    add_options(parser, Options)
    add_options(parser, Plan, "fault_")
    arguments = parser.parse_args()
    try:
        plan = read_options(arguments, Plan, "fault_")
    except ValueError as error:
        parser.error(str(error))

    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Sandbox(
        read_options(arguments, Dataset),
        behaviour=read_options(arguments, Behaviour),
        options=read_options(arguments, Options),
        faults=plan,
        port=arguments.port,
    ) as sandbox:
        ready = {
            "url": sandbox.url,
            "organization_id": sandbox.organization_id,
            "api_key_id": sandbox.api_key_id,
            "api_key_secret": sandbox.api_key_secret,
            "records": len(sandbox.store),
        }
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()
