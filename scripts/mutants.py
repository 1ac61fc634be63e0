"""`make mutants`: prints the mutants of what changed that no test notices."""

import re
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from random import Random

from scripts import ROOT

MUTMUT = str(Path(sys.executable).with_name("mutmut"))
KILLED = {"killed", "timeout", "segfault"}  # one that hangs, or exhausts memory


def changed(base: str) -> list[str]:
    """Return patterns for the mutants of the modules that differ from a commit."""
    options = ("--name-only", "--diff-filter=d")
    paths = _output("git", "diff", *options, base, "--", "tap_akuity/*.py").split()
    return [path.replace("/", ".").removesuffix("py") + "*" for path in paths]


def sample(number: int) -> list[str]:
    """Return so many mutants of the whole tap, the same each time for the same code."""
    # Without a match, mutmut generates all mutants, times the tests, and fails.
    subprocess.run([MUTMUT, "run", "none"], cwd=ROOT, check=False, capture_output=True)  # noqa: S603
    names = sorted(statuses(_output(MUTMUT, "results", "--all=true")))
    print(f"{number} of {len(names):,} mutants.")
    return Random(0).sample(names, number)  # noqa: S311 - nothing secret


def statuses(results: str) -> dict[str, str]:
    """Return what became of each mutant in mutmut's results."""
    return dict(re.findall(r"^ *(\S+__mutmut_\d+): (.*)$", results, re.MULTILINE))


def survivors(results: str) -> list[str]:
    """Return the names of the mutants that ran and that no test killed."""
    dead = KILLED | {"not checked"}
    return [name for name, status in statuses(results).items() if status not in dead]


def main() -> int:
    """Run mutants, and print those that survive."""
    parser = ArgumentParser(prog="python -m scripts.mutants", description=__doc__)
    text = "a commit to compare with (default: main), or names: tap_akuity.state.*"
    parser.add_argument("names", nargs="*", default=["main"], help=text)
    text = "instead, so many mutants of the whole tap, chosen at random"
    parser.add_argument("--sample", type=int, metavar="N", help=text)
    given = parser.parse_args()
    # mutmut keeps old results, even if tests have changed since.
    shutil.rmtree(ROOT / "mutants", ignore_errors=True)
    names = given.names
    if given.sample:
        names = sample(given.sample)
    elif "tap_akuity" not in names[0]:
        names = changed(names[0])
    if not names:
        print("No module of the tap has changed.")
        return 0
    if code := subprocess.call([MUTMUT, "run", *names], cwd=ROOT):  # noqa: S603 - ours
        return code
    alive = survivors(_output(MUTMUT, "results"))
    for name in alive:
        lines = _output(MUTMUT, "show", name).splitlines()
        found = [line for line in lines if re.match(r"[-+](?![-+])", line)]
        print("", name, *found, sep="\n")
    print(f"\n{len(alive)} mutants survive.")
    return 0


def _output(*command: str) -> str:
    return subprocess.check_output(command, cwd=ROOT, text=True)  # noqa: S603 - ours


if __name__ == "__main__":
    sys.exit(main())
