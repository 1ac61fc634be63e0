"""What the workflows run exists, and nothing that takes long is forgotten.

That they are valid, pinned and have no more rights than they need is for zizmor and
the schemas: see `make lint`.
"""

import re

import yaml

from scripts import ROOT

FOLDER = ROOT / ".github" / "workflows"
TEST = yaml.safe_load((FOLDER / "test.yml").read_bytes())["jobs"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
RELEASE = yaml.safe_load((FOLDER / "release.yml").read_bytes())["jobs"]


def test_targets_of_make_exist_and_nothing_is_forgotten():
    text = "".join(path.read_text("utf-8") for path in FOLDER.glob("*.yml"))
    made = {
        *re.findall(r"\bmake ([\w./-]+)", text),
        *TEST["end-to-end"]["strategy"]["matrix"]["target"],
    }
    rules = dict(re.findall(r"^([\w./-]+):.*\n((?:\t.*\n)*)", MAKEFILE, re.MULTILINE))
    run = "".join(rules[name] for name in made)
    for path in (ROOT / "tests" / "e2e").glob("test_*.py"):
        assert f"tests/e2e/{path.name}" in run


def test_the_newest_sdk_may_be_a_pre_release():
    rule = MAKEFILE.split("\ntest-newest:")[1].split("\nbench:")[0]
    assert rule.count("$(UV) pip ") - 1 == rule.count("--prerelease allow") == 2


def test_all_versions_of_python_are_tested():
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    claimed = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    assert f'requires-python = ">={claimed[0]}"' in project
    assert TEST["test"]["strategy"]["matrix"]["python-version"] == claimed
    oldest = [step.get("with") for step in TEST["oldest"]["steps"]]
    assert {"python-version": claimed[0]} in oldest


def test_only_what_publishes_may_sign():
    signing = [
        name for name, job in RELEASE.items() if "id-token" in job["permissions"]
    ]
    assert signing == ["publish"]
    publish = RELEASE["publish"]
    assert publish["environment"]["name"] == "pypi"
    assert {"publish", *publish["needs"]} == RELEASE.keys()
    # What may sign runs no code of the project, nor of what the project installs.
    assert not [step for step in publish["steps"] if "run" in step]


def test_a_release_is_built_by_hashed_tools_alone_and_uploaded_at_once():
    checkout, python, install, build, upload = RELEASE["build"]["steps"]
    assert [step["uses"].split("@")[0] for step in (checkout, python, upload)] == [
        f"actions/{name}" for name in ("checkout", "setup-python", "upload-artifact")
    ]
    file = "requirements/build.txt"
    options = "--require-hashes --only-binary=:all: --requirement"
    assert install["run"] == f"python -m pip install {options} {file}"
    assert build["run"] == "python -m build --no-isolation"
    text = (ROOT / file).read_text("utf-8")
    assert text.count("--hash=sha256:") >= 2 * len(re.findall("(?m)^[a-z]", text)) > 8


def test_pre_commit_runs_what_the_workflow_runs():
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_bytes())["repos"]
    assert [hook["entry"] for hook in repo["hooks"]] == ["make lint"]
    assert "\ntest: lint " in MAKEFILE
    assert {"run": "make test"} in TEST["test"]["steps"]
