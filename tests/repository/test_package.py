"""What is built can be built without git, and holds what it should."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from harness import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def build(folder: Path, kind: str) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", "dist"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=60,
    )
    (built,) = (folder / "dist").glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


# What people have lying about in a checkout, and git does not track.
PRIVATE = (
    ".env",
    "config.json",
    "notes.txt",
    "demo/secret.json",
    "demo/.env",
    "benchmarks/secret.json",
    "examples/meltano/.env",
    "examples/meltano/warehouse.duckdb",
    "examples/shell/config.json",
    "examples/shell/state.json",
    "examples/airflow/dags/secret.json",
    "tap_akuity/secret.json",
    "tests/key.pem",
    "tests/state.json",
)


def test_sdist_and_wheel(tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(
        ".git",
        ".venv*",
        ".meltano",
        ".*_cache",
        ".hypothesis",
        "__pycache__",
        "*.duckdb",
        "dist",
    )
    shutil.copytree(ROOT, source, ignore=ignored)
    for name in PRIVATE:
        (source / name).write_text("hush", encoding="utf-8")
    with tarfile.open(build(source, "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert names.isdisjoint(PRIVATE)
    assert {"LICENSE", "README.md", "meta.yml", "pyproject.toml"} <= names
    assert {"sandbox/app.py", "tests/conftest.py", "tap_akuity/tap.py"} <= names
    assert {"examples/shell/sync.sh", "examples/meltano/.env.example"} <= names

    (unpacked,) = (tmp_path / "unpacked").iterdir()
    with zipfile.ZipFile(build(unpacked, "wheel")) as archive:
        names = set(archive.namelist())
    assert {"tap_akuity/py.typed", "tap_akuity/schemas/audit_logs.json"} <= names
    (metadata,) = {name.partition("/")[0] for name in names} - {"tap_akuity"}
    assert metadata.startswith("tap_akuity-")
    assert metadata.endswith(".dist-info")
    assert {name for name in names if name.startswith("tap_akuity/")} == {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tap_akuity").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout")
def test_the_sdist_holds_all_that_git_tracks(tmp_path: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")[:-1]
    for name in tracked:
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / name)
    with tarfile.open(build(tmp_path, "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    left_out = {".ci/run", ".gitignore", ".pre-commit-config.yaml"}
    assert set(tracked) - names <= left_out
