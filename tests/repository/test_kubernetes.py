"""The Dockerfile, `examples/kubernetes` and `docs/kubernetes.md`: valid, and agreed."""

import fnmatch
import re
import shlex
import shutil
import subprocess

import kubernetes_validate
import pytest
import yaml

from scripts import ROOT
from scripts.examples import EXAMPLES
from tests.helpers import container
from tests.helpers.projects import read_yaml
from tests.helpers.readme import blocks, read

FOLDER = EXAMPLES / "kubernetes"
PAGE = read("docs/kubernetes.md")
COMMANDS = [
    shlex.split(line)
    for text in blocks(PAGE, "sh")
    for line in text.replace("\\\n", "").splitlines()
]
CRONJOB, JOB, POLICY, CLAIM, APPLICATION = (
    read_yaml(FOLDER / name)
    for name in (
        "base/cronjob.yaml",
        "backfill/job.yaml",
        "base/networkpolicy.yaml",
        "volume/claim.yaml",
        "application.yaml",
    )
)
OVERLAYS = ("base", "backfill", "volume")
SCHEDULED = CRONJOB["spec"]["jobTemplate"]["spec"]
POD, SHARD = (job["template"]["spec"] for job in (SCHEDULED, JOB["spec"]))
(LOAD,), (LOAD_SHARD,) = POD["containers"], SHARD["containers"]


def environment(of):
    return {one["name"]: one["value"] for one in of["env"]}


@pytest.mark.parametrize("manifest", [CRONJOB, JOB, POLICY, CLAIM])
def test_manifests_are_valid(manifest):
    for version in ("1.29", "1.34"):
        kubernetes_validate.validate(manifest, version, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest | {"sepc": {}}, "1.34", strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_kustomizations(name):
    """Check what they name; and render them, where kubectl is installed."""
    content = read_yaml(FOLDER / name / "kustomization.yaml")
    assert content["namespace"] == APPLICATION["spec"]["destination"]["namespace"]
    named = [
        *content["resources"],
        *(one["path"] for one in content.get("patches", ())),
    ]
    assert all((FOLDER / name / one).exists() for one in named)
    (image,) = content["images"]
    assert f"--tag {image['newName']}:{image['newTag']} " in PAGE
    if not shutil.which("kubectl"):
        return
    command = ["kubectl", "kustomize", str(FOLDER / name)]
    rendered = subprocess.check_output(command, text=True, timeout=60)
    manifests = list(yaml.safe_load_all(rendered))
    for one in manifests:
        assert one["metadata"]["namespace"] == content["namespace"]
        kubernetes_validate.validate(one, "1.34", strict=True)
    assert f"image: {image['newName']}:{image['newTag']}\n" in rendered
    if name == "volume":
        (job,) = (one["spec"] for one in manifests if one["kind"] == "CronJob")
        (load,) = job["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        assert load["securityContext"] == LOAD["securityContext"]
        assert not load.keys() & {"args", "env", "envFrom"}


def test_pods_may_do_nothing_that_they_need_not():
    assert POD["automountServiceAccountToken"] is False
    security = POD["securityContext"]
    assert security["runAsNonRoot"]
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert LOAD["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert LOAD["terminationMessagePolicy"] == "FallbackToLogsOnError"
    # The Job's pods differ in what they run only, and the policy holds for both.
    shared = {"name", "image", *LOAD} - {"args", "env"}
    assert {name: LOAD_SHARD[name] for name in shared} == {
        name: LOAD[name] for name in shared
    }
    assert POD | {"containers": []} == SHARD | {"containers": []}
    labels = POLICY["spec"]["podSelector"]["matchLabels"]
    assert SCHEDULED["template"]["metadata"]["labels"] == labels
    assert JOB["spec"]["template"]["metadata"]["labels"] == labels


def test_shards_end_where_the_schedule_begins():
    year, month = map(int, environment(LOAD_SHARD)["FIRST_MONTH"].split("-"))
    month += JOB["spec"]["completions"] - 1
    end = f"{year + month // 12}-{month % 12 + 1:02}-01"
    assert environment(LOAD)["TAP_AKUITY_START_DATE"] == end


def test_the_commands_of_the_page():
    folders, secrets, files = set(), {}, set()
    for words in COMMANDS:
        options = dict(
            word.split("=", 1) for word in words if word.startswith("--from")
        )
        if "--kustomize" in words:
            folders.add(words[words.index("--kustomize") + 1])
        elif "secret" in words:
            secrets[words[words.index("generic") + 1]] = options
        elif "--from" in options:
            assert options["--from"] == f"cronjob/{CRONJOB['metadata']['name']}"
            created = words[words.index("job") + 1]
        elif "wait" in words:
            (waited,) = (word for word in words if word.startswith("job/"))
            assert waited in {f"job/{created}", f"job/{JOB['metadata']['name']}"}
        elif "--filename" in words:
            files.add(words[words.index("--filename") + 1])
        if words[0] == "kubectl" and "--namespace" in words:
            namespace = words[words.index("--namespace") + 1]
            assert namespace == APPLICATION["spec"]["destination"]["namespace"]
    assert folders == {f"examples/kubernetes/{name}" for name in OVERLAYS}
    assert files == {"examples/kubernetes/application.yaml"}
    (reference,) = LOAD["envFrom"]
    assert secrets[reference["secretRef"]["name"]] == {"--from-env-file": ".env"}
    volume = read("examples/kubernetes/volume/cronjob.yaml")
    (config,) = re.findall(r"secretName: ([\w-]+)", volume)
    assert secrets[config] == {"--from-file": "config.json"}
    assert f"/{secrets[config]['--from-file']}, subPath: config.json" in volume
    assert ".env\n" in read(".gitignore")


def test_argo_cd_deploys_what_the_third_command_does():
    # The schema of Argo CD is in no package: these are its required members.
    assert APPLICATION["apiVersion"] == "argoproj.io/v1alpha1"
    assert APPLICATION["spec"].keys() >= {"project", "source", "destination"}
    source = APPLICATION["spec"]["source"]
    assert (ROOT / source["path"] / "kustomization.yaml").exists()
    version = re.findall(r'^version = "(.*)"', read("pyproject.toml"), re.MULTILINE)[0]
    assert source["targetRevision"] == f"v{version}"
    for name in OVERLAYS:
        (image,) = read_yaml(FOLDER / name / "kustomization.yaml")["images"]
        assert image["newTag"].removesuffix("-sync") == version


def test_the_image():
    stages = [text for name, text in container.instructions() if name == "FROM"]
    bases = {text.split()[0] for text in stages} - {"build"}
    assert len(bases) == 1, "the stages share the interpreter's path"
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases.pop())
    assert stages[-1].endswith(" AS meltano"), "what is built without --target"
    user = {text for name, text in container.instructions() if name == "USER"}
    assert user == {"{runAsUser}:{runAsGroup}".format(**POD["securityContext"])}
    # What is copied, and nothing else, is sent to the builder.
    *rules, last = read(".dockerignore").splitlines()[1:]
    assert (rules[0], last) == ("*", "**/__pycache__")
    assert sorted(rules[1:]) == sorted({f"!{one}" for one in container.sources()})
    assert not any(fnmatch.fnmatch(".env", one.strip("!")) for one in rules[1:])
    meltano = read_yaml(FOLDER / "meltano.yml")
    (loader,) = meltano["plugins"]["loaders"]
    assert loader["pip_url"] in read("docs/targets.md")


def test_the_fifth_retry_outwaits_meltano():
    waits = [min(10 * 2**retry, 360) for retry in range(SCHEDULED["backoffLimit"])]
    assert f"fifth retry comes after {sum(waits[:5])}\nseconds" in PAGE
    assert sum(waits[:5]) > 300
    assert SCHEDULED["activeDeadlineSeconds"] > 2 * sum(waits)
    assert JOB["spec"]["backoffLimitPerIndex"] == SCHEDULED["backoffLimit"]
