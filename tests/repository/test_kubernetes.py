"""The Dockerfile, `examples/kubernetes` and `docs/kubernetes.md`: valid, and agreed."""

import fnmatch
import re
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
COMMANDS = "\n".join(blocks(PAGE, "sh")).replace("\\\n", "")
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
NAMESPACE = APPLICATION["spec"]["destination"]["namespace"]
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
def test_overlays_name_what_exists(name):
    """Check what they name; and render them, where kubectl is installed."""
    content = read_yaml(FOLDER / name / "kustomization.yaml")
    assert content["namespace"] == NAMESPACE
    patches = [one["path"] for one in content.get("patches", ())]
    assert all((FOLDER / name / one).exists() for one in content["resources"] + patches)
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
    assert LOAD_SHARD | {"args": 0, "env": 0, "command": 0} == (
        LOAD | {"args": 0, "env": 0, "command": 0}
    )
    assert POD | {"containers": []} == SHARD | {"containers": []}
    labels = POLICY["spec"]["podSelector"]["matchLabels"]
    assert SCHEDULED["template"]["metadata"]["labels"] == labels
    assert JOB["spec"]["template"]["metadata"]["labels"] == labels


def test_shards_end_where_the_schedule_begins():
    year, month = map(int, environment(LOAD_SHARD)["FIRST_MONTH"].split("-"))
    month += JOB["spec"]["completions"] - 1
    end = f"{year + month // 12}-{month % 12 + 1:02}-01"
    assert environment(LOAD)["TAP_AKUITY_START_DATE"] == end


def test_the_commands_of_the_page_name_what_there_is():
    def named(pattern):
        return re.findall(pattern, COMMANDS)

    folders = {f"examples/kubernetes/{name}" for name in OVERLAYS}
    assert {*named(r" --kustomize (\S+)")} == folders
    assert named(r" --filename (\S+)") == ["examples/kubernetes/application.yaml"]
    assert {*named(r"(?:--| create )namespace (\S+)")} == {NAMESPACE}
    scheduled, job = CRONJOB["metadata"]["name"], JOB["metadata"]["name"]
    assert named(r" create job (\S+) --from=(\S+)") == [
        ("first", f"cronjob/{scheduled}")
    ]
    assert named(r" wait job/(\S+)") == ["first", job]
    (reference,) = LOAD["envFrom"]
    volume = read("examples/kubernetes/volume/cronjob.yaml")
    (config,) = re.findall(r"secretName: ([\w-]+)", volume)
    assert named(r" secret generic (\S+) --from-(\S+)") == [
        (reference["secretRef"]["name"], "env-file=.env"),
        (config, "file=config.json"),
    ]
    assert "/config.json, subPath: config.json" in volume
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


def test_the_image_holds_what_it_needs_and_runs_as_the_pods_do():
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
