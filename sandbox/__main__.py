"""`python -m sandbox`: serve until interrupted."""

import json
import signal
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from contextlib import ExitStack
from textwrap import fill
from threading import Event
from typing import NoReturn

from sandbox.control import ENDPOINTS
from sandbox.data import Dataset
from sandbox.faults import KINDS, Plan
from sandbox.options import add_options, read_options
from sandbox.server import Sandbox
from sandbox.state import Options
from sandbox.store import Behaviour

DESCRIPTION = """\
A local stand-in for Akuity's audit-log API, with a fictional organization. When ready,
prints one line of JSON with its URL and an API key, then serves until interrupted."""

EPILOG = f"""\
Control endpoints, which require no key:
{ENDPOINTS}

Kinds of faults:
{fill(", ".join(KINDS), 80, break_on_hyphens=False)}"""


class Parser(ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message, and exit."""
        self.exit(2, f"sandbox: {message} (--help lists all options)\n")


def parser() -> Parser:
    """Return the command-line parser."""
    made = Parser(
        prog="python -m sandbox",
        usage="%(prog)s [option ...]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    text = "Default: any free port."
    made.add_argument("--port", type=int, default=0, metavar="N", help=text)
    for cls in (Dataset, Behaviour, Options):
        add_options(made, cls)
    add_options(made, Plan, "fault_")
    return made


def main() -> None:
    """Run the sandbox as the command line says, and print its address as JSON."""
    line = parser()
    arguments = line.parse_args()
    sandbox = Sandbox(
        read_options(arguments, Dataset),
        behaviour=read_options(arguments, Behaviour),
        options=read_options(arguments, Options),
        faults=read_options(arguments, Plan, "fault_"),
        port=arguments.port,
    )
    stop = Event()
    with ExitStack() as stack:
        try:
            stack.enter_context(sandbox)
        except (OSError, OverflowError):
            refusal = f"port {arguments.port} is in use or not allowed"
            line.error(f"{refusal}: choose another, or omit --port for a free one")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        names = ("url", "organization_id", "api_key_id", "api_key_secret")
        ready = {name: getattr(sandbox, name) for name in names}
        ready["records"] = len(sandbox.store)
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()
