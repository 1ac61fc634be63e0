"""Run the mutation tests, and compare the survivors with the accepted list.

python -m scripts.mutants              all mutants, from scratch
python -m scripts.mutants 'NAMES*'     only these, such as tap_akuity.state.*
python -m scripts.mutants --report     the report of the last run again

Requires the environment of `make mutants`: run it with `.venv-mutants/bin/python`.
CONTRIBUTING.md has more.
"""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
ACCEPTED = ROOT / "tests" / "mutants.toml"
MUTMUT = Path(sys.executable).with_name("mutmut")

LEAST_SCORE = 90.0
"""Percentage of killed mutants, not counting equivalent ones."""

KILLED = frozenset({"killed", "timeout", "segfault"})
"""A mutant that hangs or exhausts memory counts as killed."""


class Mutant(NamedTuple):
    """A mutated function, and the result of the tests."""

    name: str
    function: str
    """The qualified name, such as `tap_akuity.records.rows.Rows.add`."""

    status: str


class Change(NamedTuple):
    """The identity of a mutant, independent of changes around it."""

    function: str
    change: str
    """As returned by `change_of`."""


def function_of(name: str) -> str:
    """Return the name of the mutated function, from mutmut's name of the mutant."""
    module, _, mangled = name.rpartition(".")
    place = mangled.partition("__mutmut_")[0].removeprefix("x")
    return f"{module}.{place.removeprefix('_').strip('ǁ').replace('ǁ', '.')}"


def change_of(diff: str) -> str:
    """Shorten a diff to one line: the old code, an arrow, the new code."""
    lines = [
        line for line in diff.splitlines() if line[:3] not in {"---", "+++", "@@ "}
    ]
    sides = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign))
        for sign in "-+"
    )
    return " → ".join(sides)


def problems(
    survivors: Iterable[Change],
    accepted: Iterable[Change],
    tested: Iterable[str],
) -> Iterator[str]:
    """Describe the differences between the survivors and the list.

    Args:
        survivors: The mutants that survived.
        accepted: The mutants in the list.
        tested: The functions whose mutants were tested.

    Yields:
        One sentence for each difference.
    """
    survived, listed, functions = set(survivors), set(accepted), set(tested)
    for function, change in sorted(survived - listed):
        yield f"Survives, and is not listed: {function}: {change}"
    for function, change in sorted(listed - survived):
        if function in functions:
            yield f"Listed, but killed or gone: {function}: {change}"


def listed(document: Mapping[str, Any]) -> dict[Change, bool]:
    """Return the accepted mutants, each with whether it is equivalent."""
    return {
        Change(one["function"], change): one["kind"] == "equivalent"
        for one in document["accepted"]
        for change in one["changes"]
    }


def _mutants() -> list[Mutant]:
    said = subprocess.run(  # noqa: S603 - no external input
        [MUTMUT, "results", "--all=true"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [
        Mutant(name, function_of(name), status)
        for name, status in re.findall(
            r"^ *(\S+__mutmut_\d+): (.*)$", said, re.MULTILINE
        )
    ]


def _diffs(names: Iterable[str]) -> dict[str, str]:
    # Installed only in the environment of `make mutants`.
    from mutmut.mutation.diff_apply import (  # noqa: PLC0415
        find_mutant,
        get_diff_for_mutant,
    )

    return {
        name: get_diff_for_mutant(name, path=find_mutant(name).path) for name in names
    }


def report(patterns: Sequence[str]) -> int:
    """Print the score and the problems, and return the number of problems."""
    mutants = [
        one
        for one in _mutants()
        if one.status != "not checked"
        and (not patterns or any(fnmatch.fnmatch(one.name, each) for each in patterns))
    ]
    alive = {one.name: one.function for one in mutants if one.status not in KILLED}
    diffs = _diffs(alive)
    changes = {
        name: Change(function, change_of(diffs[name]))
        for name, function in alive.items()
    }
    accepted = listed(tomllib.loads(ACCEPTED.read_text(encoding="utf-8")))
    wrong = list(
        problems(changes.values(), accepted, {one.function for one in mutants})
    )
    equivalent = sum(accepted.get(change, False) for change in changes.values())
    killed, counted = len(mutants) - len(alive), len(mutants) - equivalent
    score = 100 * killed / max(counted, 1)
    for module, (total, survived) in sorted(_by_module(mutants).items()):
        sys.stdout.write(f"{module:40} {total:5} mutants {survived:5} survive\n")
    sys.stdout.write(
        f"{len(mutants)} mutants, {equivalent} of them equivalent; {killed} of the "
        f"other {counted} killed: {score:.1f} %\n"
    )
    if score < LEAST_SCORE:
        wrong.append(f"The score is less than {LEAST_SCORE} %.")
    sys.stdout.writelines(f"{line}\n" for line in wrong)
    return len(wrong)


def _by_module(mutants: Iterable[Mutant]) -> dict[str, tuple[int, int]]:
    total: Counter[str] = Counter()
    alive: Counter[str] = Counter()
    for one in mutants:
        module = one.name.rpartition(".")[0]
        total[module] += 1
        alive[module] += one.status not in KILLED
    return {module: (count, alive[module]) for module, count in total.items()}


def main(arguments: Sequence[str]) -> int:
    """Run the given mutants, or all of them, and print the report."""
    if arguments != ["--report"]:
        if not arguments:
            # mutmut keeps old results, even if tests have changed since.
            shutil.rmtree(ROOT / "mutants", ignore_errors=True)
        # No shell; the names come from the caller.
        done = subprocess.run([MUTMUT, "run", *arguments], cwd=ROOT, check=False)  # noqa: S603
        if done.returncode:
            return done.returncode
    return min(report([one for one in arguments if one != "--report"]), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
