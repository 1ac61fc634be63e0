"""What stands for Docker and a kubelet, where there is neither: bubblewrap.

The Dockerfile's own instructions build a folder for each stage, on the system and the
Python of this machine, not those of the base image. What a pod runs gets a read-only
root but for its volumes, an environment of its own, another user, and process number 1.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from scripts import ROOT
from scripts.processes import inherited, started

BWRAP = shutil.which("bwrap") or ""
HOME = ROOT / ".venv-container"

_BUILT = ("opt", "project", "src")  # the folders that the Dockerfile fills
_FOREIGN_SETTINGS = ("MELTANO_", "TAP_AKUITY_", "TARGET_", "DATABASE_URL")


class Stage(NamedTuple):
    """A stage of the Dockerfile: its files, what fills them, and what else is set."""

    root: Path
    steps: list[tuple[str, str]]
    settings: dict[str, str]


class Container(NamedTuple):
    """A running container, and its first process as this machine sees it."""

    process: subprocess.Popen[str]
    pid: int


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


def stages() -> dict[str, Stage]:
    """Return all stages of the Dockerfile by name."""
    found: dict[str, Stage] = {}
    for name, arguments in instructions():
        if name == "FROM":
            base, _, alias = arguments.partition(" AS ")
            stage = found[alias] = Stage(HOME / alias, [], {"WORKDIR": "/"})
            if base in found:
                stage.steps.append(("COPY", f"--from={base} . /"))
                stage.settings.update(found[base].settings)
        elif name in {"COPY", "RUN"}:
            stage.steps.append((name, arguments))
        else:
            stage.settings[name] = arguments
    return found


def build() -> dict[str, Stage]:
    """Build the stages, unless they exist with the same contents, and return them."""
    made_of = hashlib.sha256(f"{HOME} {sys.version}".encode())
    for one in ("Dockerfile", *sources()):
        for path in sorted([ROOT / one, *(ROOT / one).rglob("*")]):
            if path.is_file() and path.suffix != ".pyc":
                made_of.update(path.read_bytes())
    stamp = HOME / "made"
    if not stamp.exists() or stamp.read_text("utf-8") != made_of.hexdigest():
        shutil.rmtree(HOME, ignore_errors=True)
        venv.create(HOME / "python", with_pip=True, symlinks=True)
        for stage in stages().values():
            for one in _BUILT:
                (stage.root / one).mkdir(parents=True)
            for name, arguments in stage.steps:
                {"COPY": _copy, "RUN": _run}[name](stage, arguments)
        stamp.write_text(made_of.hexdigest(), "utf-8")
    return stages()


def _copy(stage: Stage, arguments: str) -> None:
    *names, last = arguments.split()
    origin, place = ROOT, stage.root / last.lstrip("/")
    if names[0].startswith("--from="):
        origin = HOME / names.pop(0).removeprefix("--from=")
    for one in (origin / name.lstrip("/") for name in names):
        if one.is_dir():
            shutil.copytree(one, place, symlinks=True, dirs_exist_ok=True)
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(one, place)


def _run(stage: Stage, script: str) -> None:
    """Run a script as `docker build` does, with this machine's settings for pip."""
    python, cache = HOME / "python", Path.home() / ".cache"
    binds = [("--bind-try", cache, cache), ("--bind", python, python)]
    binds += [("--bind", stage.root / one, Path("/", one)) for one in _BUILT]
    # Where this machine may have packages.
    binds += [("--ro-bind", one, one) for one in Path("/opt").iterdir()]
    path = f"{python / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [
            *_sandbox(("home", "root"), *binds),
            *("--setenv", "PATH", path, "--chdir", stage.settings["WORKDIR"]),
            *("sh", "-euc", script),
        ],
        env=inherited(*_FOREIGN_SETTINGS),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _sandbox(more: tuple[str, ...], *binds: tuple[str, Path, Path]) -> list[str]:
    """Return bubblewrap's arguments for this machine's system, and what is mounted."""
    command = [BWRAP, "--die-with-parent", "--dev", "/dev", "--proc", "/proc"]
    command += ["--tmpfs", "/tmp"]  # noqa: S108 - the container's own
    for name in ("bin", "etc", "lib", "lib32", "lib64", "sbin", "usr", *more):
        path = Path("/") / name
        if path.is_symlink():
            command += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            command += ["--ro-bind", str(path), str(path)]
    return command + [str(one) for bind in binds for one in bind]


@contextlib.contextmanager
def run(
    stage: Stage,
    spec: Mapping[str, Any],
    volumes: Path,
    environment: Mapping[str, str],
    socket: Path | None = None,
) -> Iterator[Container]:
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
        spec["securityContext"][name] for name in ("runAsUser", "runAsGroup")
    )
    assert stage.settings["USER"] == f"{user}:{group}"
    base = Path(sys.base_prefix)
    binds = [("--ro-bind", stage.root / one, Path("/", one)) for one in _BUILT]
    for mount in container["volumeMounts"]:
        folder = volumes / mount["name"] / mount.get("subPath", "")
        if not folder.is_file():
            folder.mkdir(parents=True, exist_ok=True)
        if os.getuid() == 0:
            os.chown(folder, user, group)
        binds.append(("--bind", folder, Path(mount["mountPath"])))
    binds.append(("--ro-bind", base, base))
    if socket:
        binds.append(("--bind", socket, Path("/run", socket.name)))
    variables = dict(re.findall(r"(\w+)=(\S+)", stage.settings.get("ENV", "")))
    variables |= {"PATH": "/usr/local/bin:/usr/bin:/bin", **environment}
    variables |= {one["name"]: one["value"] for one in container.get("env") or ()}
    command = _sandbox(())
    # Which the other user may not enter otherwise.
    for path in (*reversed(base.parents), Path("/run")):
        command += ["--perms", "0755", "--dir", str(path)]
    command += [str(one) for bind in binds for one in bind]
    command += ["--remount-ro", "/", "--unshare-pid", "--as-pid-1"]
    command += ["--clearenv", "--chdir", stage.settings["WORKDIR"]]
    for name, value in variables.items():
        command += ["--setenv", name, value]
    # Its user is another one, also to the file systems, where this user may become it.
    ids = [f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"]
    ids += ["--inh-caps=-all", "--bounding-set=-all"]
    if os.getuid() == 0:
        command += ["--cap-add", "ALL"]  # until then
    else:
        command += ["--unshare-user", "--uid", str(user), "--gid", str(group)]
        ids = ["--no-new-privs"]
    said = volumes / f"{time.monotonic_ns()}.json"
    command += ["--info-fd", "9", "setpriv", *ids]
    command += container.get("command") or json.loads(stage.settings["ENTRYPOINT"])
    command += container.get("args") or ()
    script = ["sh", "-c", f'exec "$@" 9>{said}', "sh", *command]
    with started(script, volumes, {}, stderr=subprocess.STDOUT) as process:
        while not (said.exists() and said.read_text().endswith("}\n")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        yield Container(process, json.loads(said.read_text())["child-pid"])
