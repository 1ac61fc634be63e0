"""Run the mutation tests, and compare the survivors with the accepted list.

python -m scripts.mutants              all mutants, from scratch
python -m scripts.mutants 'NAMES*'     only these, such as tap_akuity.state.*
python -m scripts.mutants --report     the report of the last run again

Requires the environment of `make mutants`: run it with `.venv-mutants/bin/python`.
CONTRIBUTING.md has more.
"""

import fnmatch
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ACCEPTED = ROOT / "tests" / "mutants.toml"
MUTMUT = str(Path(sys.executable).with_name("mutmut"))

LEAST_SCORE = 90.0  # percentage of killed mutants, not counting equivalent ones
KILLED = {"killed", "timeout", "segfault"}  # one that hangs, or exhausts memory


class Change(NamedTuple):
    """The identity of a mutant, independent of changes around it."""

    function: str
    change: str


def function_of(name: str) -> str:
    """Return the name of the mutated function, from mutmut's name of the mutant."""
    module, _, mangled = name.rpartition(".")
    place = mangled.partition("__mutmut_")[0].removeprefix("x")
    return f"{module}.{place.removeprefix('_').strip('ǁ').replace('ǁ', '.')}"


def change_of(diff: str) -> str:
    """Shorten a diff to one line: the old code, an arrow, the new code."""
    lines = [line for line in diff.splitlines() if line[:3] not in {"---", "+++"}]
    old, new = ([line[1:].strip() for line in lines if line[:1] == it] for it in "-+")
    return f"{' '.join(old)} → {' '.join(new)}"


def problems(
    survivors: Iterable[Change], accepted: Iterable[Change], tested: Iterable[str]
) -> Iterator[str]:
    """Describe how survivors differ from the list, as to the functions tested."""
    survived, listed, functions = set(survivors), set(accepted), set(tested)
    for function, change in sorted(survived - listed):
        yield f"Survives, and is not listed: {function}: {change}"
    for function, change in sorted(listed - survived):
        if function in functions:
            yield f"Listed, but killed or gone: {function}: {change}"


def listed(document: Mapping[str, Any]) -> dict[Change, bool]:
    """Return the accepted mutants, each with whether it is equivalent."""
    return {
        Change(*mutant.split(": ", 1)): one["kind"] == "equivalent"
        for one in document["accepted"]
        for mutant in one["mutants"]
    }


def _mutmut(*arguments: str) -> str:
    return subprocess.check_output([MUTMUT, *arguments], cwd=ROOT, text=True)  # noqa: S603


def report(patterns: Sequence[str]) -> list[str]:
    """Print the score, and return the problems."""
    found = re.findall(
        r"^ *(\S+__mutmut_\d+): (.*)$", _mutmut("results", "--all=true"), re.MULTILINE
    )
    tested = {
        name: status
        for name, status in found
        if status != "not checked"
        and any(fnmatch.fnmatch(name, pattern) for pattern in patterns or ["*"])
    }
    alive = [name for name, status in tested.items() if status not in KILLED]
    changes = [Change(function_of(n), change_of(_mutmut("show", n))) for n in alive]
    accepted = listed(tomllib.loads(ACCEPTED.read_text(encoding="utf-8")))

    mutants, survivors = (
        Counter(name.rpartition(".")[0] for name in names) for names in (tested, alive)
    )
    for module, count in sorted(mutants.items()):
        line = f"{module:40} {count:5} mutants {survivors[module]:5} survive\n"
        sys.stdout.write(line)
    equivalent = sum(accepted.get(change, False) for change in changes)
    killed, others = len(tested) - len(alive), len(tested) - equivalent
    score = 100 * killed / max(others, 1)
    sys.stdout.write(
        f"{len(tested)} mutants, {equivalent} of them equivalent; {killed} of the "
        f"other {others} killed: {score:.1f} %\n"
    )
    wrong = [*problems(changes, accepted, map(function_of, tested))]
    if score < LEAST_SCORE:
        wrong.append(f"The score is less than {LEAST_SCORE} %.")
    return wrong


def main(arguments: Sequence[str]) -> int:
    """Run the given mutants, or all of them, and print the report."""
    names = [one for one in arguments if one != "--report"]
    if names == [*arguments]:
        if not names:
            # mutmut keeps old results, even if tests have changed since.
            shutil.rmtree(ROOT / "mutants", ignore_errors=True)
        code = subprocess.call([MUTMUT, "run", *names], cwd=ROOT)  # noqa: S603 - ours
        if code:
            return code
    wrong = report(names)
    sys.stdout.writelines(f"{line}\n" for line in wrong)
    return min(len(wrong), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
