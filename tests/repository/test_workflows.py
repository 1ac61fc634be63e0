"""What the workflows run exists, and nothing that takes long is forgotten.

That they are valid, pinned and have no more rights than they need is for zizmor and
the schemas: see `make lint`.
"""

import re

import yaml

from harness import ROOT

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_bytes())
    for path in (ROOT / ".github" / "workflows").glob("*.yml")
}


def made():
    """Return the targets of make that workflows run."""
    found = set()
    for workflow in WORKFLOWS.values():
        for job in workflow["jobs"].values():
            commands = [step.get("run", "") for step in job.get("steps", [])]
            found |= {*re.findall(r"\bmake ([\w-]+)", "\n".join(commands))}
            if any('make "$TARGET"' in command for command in commands):
                found |= {*job["strategy"]["matrix"]["target"]}
    return found


def test_targets_of_make_exist_and_nothing_is_forgotten():
    rules = dict(re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)*)", MAKEFILE, re.MULTILINE))
    assert made() <= rules.keys()
    run = "".join(rules[name] for name in made())
    for path in (ROOT / "tests" / "e2e").glob("test_*.py"):
        assert f"tests/e2e/{path.name}" in run


def test_all_versions_of_python_are_tested():
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    claimed = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    assert f'requires-python = ">={claimed[0]}"' in project
    jobs = WORKFLOWS["test"]["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python-version"] == claimed
    assert {"python-version": claimed[0]} in [
        step.get("with") for step in jobs["oldest"]["steps"]
    ]


def test_only_what_publishes_may_sign():
    jobs = dict(WORKFLOWS["release"]["jobs"])
    publish = jobs.pop("publish")
    assert not [name for name in jobs if "id-token" in jobs[name]["permissions"]]
    assert publish["environment"]["name"] == "pypi"
    assert set(publish["needs"]) == jobs.keys()
    # What may sign runs no code of the project, nor of what the project installs.
    assert not [step for step in publish["steps"] if "run" in step]
