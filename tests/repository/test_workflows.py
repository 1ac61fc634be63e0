"""What the workflows run exists, and nothing that takes long is forgotten.

That they are valid, pinned and have no more rights than they need is for zizmor and
the schemas: see `make lint`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_bytes())
    for path in (ROOT / ".github" / "workflows").glob("*.yml")
}


def commands(job: dict[str, Any]) -> Iterator[str]:
    """Give what a job runs, once for each target of its matrix."""
    targets = job.get("strategy", {}).get("matrix", {}).get("target", [""])
    for step in job.get("steps", []):
        for target in targets:
            yield step.get("run", "").replace('"$TARGET"', target)


def made(jobs: dict[str, Any]) -> set[str]:
    """Give the targets of make that jobs run."""
    return {
        name
        for job in jobs.values()
        for command in commands(job)
        for name in re.findall(r"\bmake (\S+)", command)
    }


MADE = set().union(*(made(content["jobs"]) for content in WORKFLOWS.values()))


def test_targets_of_make_exist() -> None:
    rules = re.findall(r"^(\S+):", MAKEFILE, re.MULTILINE)
    assert len(MADE) > 5
    assert set(rules) >= MADE


def test_whatever_takes_longer_runs_too() -> None:
    rules = re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    for path in (ROOT / "tests" / "e2e").glob("test_*.py"):
        name = path.relative_to(ROOT).as_posix()
        assert {target for target, recipe in rules if name in recipe} & MADE, name


def test_all_versions_of_python_are_tested() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    claimed = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    jobs = WORKFLOWS["test"]["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python-version"] == claimed
    assert f'requires-python = ">={claimed[0]}"' in project
    (oldest,) = (
        step["with"]["python-version"]
        for step in jobs["oldest"]["steps"]
        if "python-version" in step.get("with", {})
    )
    assert oldest == claimed[0]


def test_only_what_publishes_may_sign() -> None:
    jobs = WORKFLOWS["release"]["jobs"]
    assert [
        name for name in jobs if "id-token" in jobs[name].get("permissions", {})
    ] == ["publish"]
    assert jobs["publish"]["environment"]["name"] == "pypi"
    assert set(jobs["publish"]["needs"]) == jobs.keys() - {"publish"}
    # What may sign runs no code of the project, nor of what the project installs.
    assert not any(commands(jobs["publish"]))
