"""`make mutants`: prints the mutants of what changed that no test notices.

    python -m scripts.mutants [BASE | NAME ...]

BASE is what the files of the tap are compared with (default: main). NAMEs select
mutants instead, such as `tap_akuity.state.*`.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from scripts import ROOT

MUTMUT = str(Path(sys.executable).with_name("mutmut"))
KILLED = {"killed", "timeout", "segfault"}  # one that hangs, or exhausts memory


def changed(base: str) -> list[str]:
    """Return patterns for the mutants of the modules that differ from a commit."""
    command = [
        "git",
        "diff",
        "--name-only",
        "--diff-filter=d",
        base,
        "--",
        "tap_akuity",
    ]
    paths = subprocess.check_output(command, cwd=ROOT, text=True).split()  # noqa: S603
    modules = [path[:-3] for path in paths if path.endswith(".py")]
    return [f"{module.replace('/', '.')}.*" for module in modules]


def survivors(results: str) -> list[str]:
    """Return the names of the mutants that no test killed, from mutmut's results."""
    found = re.findall(r"^ *(\S+__mutmut_\d+): (.*)$", results, re.MULTILINE)
    return [name for name, status in found if status not in KILLED | {"not checked"}]


def main(arguments: list[str]) -> int:
    """Run the mutants, and print those that survive."""
    names = arguments if "tap_akuity" in "".join(arguments) else None
    names = names or changed(*arguments or ["main"])
    if not names:
        sys.stdout.write("No module of the tap has changed.\n")
        return 0
    # mutmut keeps old results, even if tests have changed since.
    shutil.rmtree(ROOT / "mutants", ignore_errors=True)
    if code := subprocess.call([MUTMUT, "run", *names], cwd=ROOT):  # noqa: S603 - ours
        return code
    results = subprocess.check_output([MUTMUT, "results"], cwd=ROOT, text=True)  # noqa: S603
    alive = survivors(results)
    for name in alive:
        diff = subprocess.check_output([MUTMUT, "show", name], cwd=ROOT, text=True)  # noqa: S603
        lines = [line for line in diff.splitlines() if re.match(r"[-+](?![-+])", line)]
        sys.stdout.write("\n".join(["", name, *lines, ""]))
    sys.stdout.write(f"\n{len(alive)} mutants survive in {', '.join(names)}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
