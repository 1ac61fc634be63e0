"""`python -m sandbox`: serve until interrupted."""

import json
import signal
import sys
from argparse import RawDescriptionHelpFormatter
from contextlib import ExitStack
from textwrap import fill
from threading import Event

from sandbox.access import EXPIRED_KEY, VIEWER_KEY
from sandbox.control import ENDPOINTS
from sandbox.data import Dataset
from sandbox.faults import KINDS, Plan
from sandbox.options import Parser, add_options, read_options
from sandbox.server import Sandbox
from sandbox.state import Options
from sandbox.store import Behaviour

DESCRIPTION = """\
A local stand-in for Akuity's audit-log API, with a fictional organization. When ready,
prints one line of JSON with its URL and an API key, then serves until interrupted."""

EPILOG = f"""\
Two more keys:
  {VIEWER_KEY["api_key_id"]}:{VIEWER_KEY["api_key_secret"]}
      may not read audit logs: 403
  {EXPIRED_KEY["api_key_id"]}:{EXPIRED_KEY["api_key_secret"]}
      expired: 401

Control endpoints, which require no key:
{ENDPOINTS}

Kinds of faults:
{fill(", ".join(KINDS), 80, break_on_hyphens=False)}"""


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
    made.add_argument(
        "--port", type=int, default=0, metavar="N", help="Default: any free port."
    )
    add_options(made, Dataset)
    add_options(made, Behaviour)
    add_options(made, Options)
    add_options(made, Plan, "fault_")
    return made


def main() -> None:
    """Run the sandbox as the command line says, and print its address as JSON."""
    line = parser()
    stop = Event()
    with ExitStack() as stack:
        try:
            arguments = line.parse_args()
            sandbox = Sandbox(
                read_options(arguments, Dataset),
                behaviour=read_options(arguments, Behaviour),
                options=read_options(arguments, Options),
                faults=read_options(arguments, Plan, "fault_"),
                port=arguments.port,
            )
            stack.enter_context(sandbox)
        except ValueError as error:
            line.exit(2, f"sandbox: {error} (--help lists all options)\n")
        except (OSError, OverflowError):
            refusal = f"sandbox: port {arguments.port} is in use or not allowed"
            line.exit(2, f"{refusal}: choose another, or omit --port for a free one\n")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
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
