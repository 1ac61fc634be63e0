"""What the workflows run exists, and is what the project says of itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WORKFLOWS = {path.stem: yaml.safe_load(path.read_bytes()) for path in FILES}
JOBS = [
    pytest.param(job, id=f"{workflow}-{name}")
    for workflow, content in WORKFLOWS.items()
    for name, job in content["jobs"].items()
]


def commands(job: dict[str, Any]) -> Iterator[str]:
    """Give what a job runs, once for each target of its matrix."""
    targets = job.get("strategy", {}).get("matrix", {}).get("target", [""])
    for step in job.get("steps", []):
        for target in targets:
            yield step.get("run", "").replace('"$TARGET"', target)


def made() -> set[str]:
    """Give the targets of make that workflows run."""
    found = {
        name
        for content in WORKFLOWS.values()
        for job in content["jobs"].values()
        for command in commands(job)
        for name in re.findall(r"\bmake (\S+)", command)
    }
    assert len(found) > 5
    return found


def test_targets_of_make_exist() -> None:
    for name in made():
        assert re.search(rf"^{re.escape(name)}:", MAKEFILE, re.MULTILINE), name


def test_whatever_takes_longer_runs_too() -> None:
    rules = re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    for path in (ROOT / "tests" / "e2e").glob("test_*.py"):
        name = path.relative_to(ROOT).as_posix()
        targets = {target for target, recipe in rules if name in recipe}
        assert targets & made(), name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_actions_are_pinned(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        action = line.partition("uses: ")[2]
        if action and not action.startswith("$/"):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


def test_an_action_has_one_version() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in FILES)
    pins = set(re.findall(r"uses: (.+)@(.+)", text))
    assert len({action for action, _ in pins}) == len(pins) > 3


def test_all_versions_of_python_are_tested() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    claimed = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    matrix = WORKFLOWS["test"]["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python-version"] == claimed
    assert f'requires-python = ">={claimed[0]}"' in project
    (oldest,) = (
        step["with"]["python-version"]
        for step in WORKFLOWS["test"]["jobs"]["oldest"]["steps"]
        if "python-version" in step.get("with", {})
    )
    assert oldest == claimed[0]


@pytest.mark.parametrize("content", WORKFLOWS.values(), ids=WORKFLOWS)
def test_nothing_is_allowed_unless_a_job_says_so(content: dict[str, Any]) -> None:
    assert content["permissions"] == {}
    assert "concurrency" in content


@pytest.mark.parametrize("job", JOBS)
def test_jobs_are_bounded(job: dict[str, Any]) -> None:
    # GitHub takes no time limit for a workflow that is called; its jobs have theirs.
    assert "uses" in job or 0 < job["timeout-minutes"] <= 30
    assert set(job["permissions"].values()) <= {"read"} or "environment" in job


def test_only_what_publishes_may_sign() -> None:
    jobs = WORKFLOWS["release"]["jobs"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["environment"]["name"] == "pypi"
    assert set(jobs["publish"]["needs"]) == jobs.keys() - {"publish"}
    # What may sign runs no code of the project, nor of what the project installs.
    assert not any(commands(jobs["publish"]))


@pytest.mark.parametrize("name", ["bug_report", "feature_request"])
def test_issue_forms(name: str) -> None:
    path = ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml"
    warning, *fields = yaml.safe_load(path.read_bytes())["body"]
    # GitHub refuses a form with two fields of one name.
    assert len({field["id"] for field in fields}) == len(fields)
    assert len({field["attributes"]["label"] for field in fields}) == len(fields)
    assert "Leave out API keys, tokens and audit logs" in " ".join(
        warning["attributes"]["value"].split()
    )
