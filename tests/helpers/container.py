"""What stands for Docker and a kubelet, where there is neither: bubblewrap.

The Dockerfile's own instructions build a folder for each stage, on the system and the
Python of this machine, not those of the base image. What a pod runs gets a read-only
root but for its volumes, an environment of its own, another user, and process number 1.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from scripts import ROOT
from scripts.processes import inherited, started
from tests.helpers.projects import all_processes

BWRAP = shutil.which("bwrap") or ""

_BUILT = ("opt", "project", "src")  # the folders that the Dockerfile fills
_FOREIGN_SETTINGS = ("MELTANO_", "TAP_AKUITY_", "TARGET_", "DATABASE_URL")


class Stage(NamedTuple):
    """A stage of the Dockerfile: its files, and what is set."""

    root: Path
    settings: dict[str, str]

    def binds(self, kind: str) -> list[str]:
        """Return the arguments that mount its files."""
        return [
            word for one in _BUILT for word in (kind, f"{self.root}/{one}", f"/{one}")
        ]


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with their arguments."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", "")
    found = [line.partition(" ") for line in lines.splitlines() if line]
    return [(name, arguments) for name, _, arguments in found]


def sources() -> list[str]:
    """Return what the Dockerfile copies out of the checkout."""
    copied = [arguments.split() for name, arguments in instructions() if name == "COPY"]
    return [one for names in copied if "--from" not in names[0] for one in names[:-1]]


def build(home: Path) -> dict[str, Stage]:
    """Build the stages of the Dockerfile below a folder, and return them by name."""
    venv.create(home / "python", with_pip=True, symlinks=True)
    stages: dict[str, Stage] = {}
    for name, arguments in instructions():
        if name == "FROM":
            base, _, alias = arguments.partition(" AS ")
            stage = stages[alias] = Stage(home / alias, {"WORKDIR": "/"})
            for one in _BUILT:
                (stage.root / one).mkdir(parents=True)
            if base in stages:
                _copy(f"--from={base} . /", stage, home)
                stage.settings.update(stages[base].settings)
        elif name == "COPY":
            _copy(arguments, stage, home)
        elif name == "RUN":
            _run(arguments, stage, home)
        else:
            stage.settings[name] = arguments
    return stages


def _copy(arguments: str, stage: Stage, home: Path) -> None:
    *names, last = arguments.split()
    origin, place = ROOT, stage.root / last.lstrip("/")
    if names[0].startswith("--from="):
        origin = home / names.pop(0).removeprefix("--from=")
    for one in (origin / name.lstrip("/") for name in names):
        if one.is_dir():
            shutil.copytree(one, place, symlinks=True, dirs_exist_ok=True)
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(one, place)


def _run(script: str, stage: Stage, home: Path) -> None:
    """Run a script as `docker build` does, with this machine's settings for pip."""
    python, cache = home / "python", Path.home() / ".cache"
    command = [*_system("home", "root"), "--bind-try", str(cache), str(cache)]
    command += ["--bind", str(python), str(python), *stage.binds("--bind")]
    for one in map(str, Path("/opt").iterdir()):
        command += ["--ro-bind", one, one]  # where this machine may have packages
    path = f"{python / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command += ["--setenv", "PATH", path, "--chdir", stage.settings["WORKDIR"]]
    done = subprocess.run(
        [*command, "sh", "-euc", script],
        env=inherited(*_FOREIGN_SETTINGS),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout


def _system(*more: str) -> list[str]:
    """Return bubblewrap's arguments for the system of this machine."""
    command = [BWRAP, "--die-with-parent", "--dev", "/dev", "--proc", "/proc"]
    command += ["--tmpfs", "/tmp"]  # noqa: S108 - the container's own
    for name in ("bin", "etc", "lib", "lib32", "lib64", "sbin", "usr", *more):
        path = Path("/") / name
        if path.is_symlink():
            command += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            command += ["--ro-bind", str(path), str(path)]
    return command


@contextlib.contextmanager
def run(
    stage: Stage,
    spec: Mapping[str, Any],
    volumes: Path,
    environment: Mapping[str, str],
    socket: Path | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Run a pod for the block, and kill what is left of it afterwards.

    Args:
        stage: The stage of the Dockerfile that its image is.
        spec: The pod, as a manifest has it, with one container.
        volumes: The folder with a folder for each of its volumes.
        environment: What its Secret holds, and more variables.
        socket: That of PostgreSQL, which is in the container's `/run`.
    """
    (container,) = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    user, group = (
        str(spec["securityContext"][name]) for name in ("runAsUser", "runAsGroup")
    )
    assert stage.settings["USER"] == f"{user}:{group}"
    base = Path(sys.base_prefix)
    command = _system()
    # Which the other user may not enter otherwise.
    for path in (*reversed(base.parents), Path("/run")):
        command += ["--perms", "0755", "--dir", str(path)]
    command += ["--ro-bind", str(base), str(base), *stage.binds("--ro-bind")]
    for mount in container["volumeMounts"]:
        folder = volumes / mount["name"] / mount.get("subPath", "")
        if not folder.is_file():
            folder.mkdir(parents=True, exist_ok=True)
        if os.getuid() == 0:
            os.chown(folder, int(user), int(group))
        command += ["--bind", str(folder), mount["mountPath"]]
    if socket:
        command += ["--bind", str(socket), f"/run/{socket.name}"]
    command += ["--remount-ro", "/", "--unshare-pid", "--as-pid-1"]
    command += ["--chdir", stage.settings["WORKDIR"]]
    variables = dict(re.findall(r"(\w+)=(\S+)", stage.settings.get("ENV", "")))
    variables |= {"PATH": "/usr/local/bin:/usr/bin:/bin", **environment}
    variables |= {one["name"]: one["value"] for one in container.get("env") or ()}
    for name, value in variables.items():
        command += ["--setenv", name, value]
    # Its user is another one, also to the file systems, where this user may become it.
    if os.getuid() == 0:
        command += [
            "--cap-add",
            "ALL",
            "setpriv",
            f"--reuid={user}",
            f"--regid={group}",
        ]
        command += ["--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    else:
        command += ["--unshare-user", "--uid", user, "--gid", group, "setpriv"]
    command += ["--no-new-privs"]
    command += container.get("command") or json.loads(stage.settings["ENTRYPOINT"])
    command += container.get("args") or ()
    with started(command, volumes, {}, stderr=subprocess.STDOUT) as process:
        yield process


def kill(pod: subprocess.Popen[str], number: int) -> None:
    """Send a signal to the first process of a pod."""
    (first,) = (one.pid for one in all_processes() if one.parent == pod.pid)
    os.kill(first, number)
