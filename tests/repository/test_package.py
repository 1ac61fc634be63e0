"""What is built holds what it should."""

import shutil
import subprocess
import tarfile
import zipfile

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from scripts import ROOT

# What people have lying about in a checkout, and git does not track.
PRIVATE = (".env", "scripts/secret.json", "examples/shell/state.json", "tests/key.pem")


def build(builder, folder):
    (built,) = builder(str(folder)).build(directory=str(folder / "dist"))
    return built


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout")
def test_an_sdist_holds_what_git_tracks_and_a_wheel_the_tap(tmp_path):
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).split()  # noqa: S607
    source, unpacked = tmp_path / "source", tmp_path / "unpacked"
    for name in (*tracked, *PRIVATE):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if name in PRIVATE:
            (source / name).write_text("hush", encoding="utf-8")
        elif (ROOT / name).is_file():
            shutil.copy2(ROOT / name, source / name)
    with tarfile.open(build(SdistBuilder, source)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(unpacked, filter="data")
    assert names - {*tracked} == {"PKG-INFO"}
    assert {*tracked} - names <= {".ci/run", ".gitignore", ".pre-commit-config.yaml"}

    (folder,) = unpacked.iterdir()
    with zipfile.ZipFile(build(WheelBuilder, folder)) as archive:
        names = set(archive.namelist())
    assert {name for name in names if ".dist-info/" not in name} == {
        name for name in tracked if name.startswith("tap_akuity/")
    }
