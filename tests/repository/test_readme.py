"""What the README and the pages in `docs/` show works, and what they say is so."""

import ast
import inspect
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from copy import copy
from datetime import UTC, datetime
from hashlib import sha256
from xml.etree import ElementTree as ET

import pytest
import yaml

import scripts.demo
import scripts.query
from sandbox.data import Dataset
from sandbox.server import Sandbox
from sandbox.truth import find
from scripts import ROOT
from scripts.examples import HISTORY
from tap_akuity.api.errors import MAX_RETRY_AFTER_SECONDS
from tap_akuity.api.session import MAX_BODY_BYTES, MAX_ERROR_BODY_BYTES
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.window import MAX_FRUITLESS
from tap_akuity.settings import SCHEMA
from tap_akuity.tap import TapAkuity
from tests.helpers.catalogs import catalog_without
from tests.helpers.events import event_of, events_of, ids
from tests.helpers.readme import (
    MANUAL,
    NEEDS_DUCKDB,
    Folder,
    block,
    blocks,
    read,
    section,
)
from tests.helpers.running import config_for, records, sync

PAGES = [
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/*.md", "examples/**/README.md")
    for path in ROOT.glob(pattern)
]


def rows(title):
    """Return the cells of a section's first table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines[2:]]


def kind(schema):
    name = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        return f"{name}, more than {schema['exclusiveMinimum']}, at most {high}"
    if high is not None:
        return f"{name}, {low} to {high}"
    if low is not None:
        return f"{name}, at least {low}"
    return schema.get("format", "array of strings" if name == "array" else name)


def default(schema):
    if "default" not in schema:
        return "\N{EN DASH}"
    value = schema["default"]
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def test_settings():
    assert rows("Settings") == [
        [
            f"`{name}`",
            kind(schema) + (", secret" if schema.get("secret") else ""),
            "yes" if name in SCHEMA["required"] else "no",
            default(schema),
            schema["description"],
        ]
        for name, schema in SCHEMA["properties"].items()
    ]
    (actions,) = re.findall(r"`TAP_AKUITY_ACTIONS='(.*?)'`", section("Settings"))
    assert json.loads(actions) == ["created", "deleted"]
    (of_the_sdk,) = re.findall(r"The SDK adds ([^.]*) and a few", section("Settings"))
    schema = json.loads(json.dumps(SCHEMA))
    TapAkuity.append_builtin_config(schema)
    assert {*re.findall(r"`(\w+)`", of_the_sdk)} <= schema["properties"].keys()


def properties(schema, prefix=""):
    for name, inner in schema["properties"].items():
        null = "yes" if "null" in inner["type"] else "no"
        yield [f"`{prefix}{name}`", kind(inner), null, inner["description"]]
        if "properties" in inner:
            yield from properties(inner, f"{prefix}{name}.")


def test_schema():
    schema = json.loads(read("tap_akuity/schemas/audit_logs.json"))
    assert rows("The stream `audit_logs`") == list(properties(schema))


def test_the_id_can_be_recomputed(sample, tmp_path):
    path = tmp_path / "recipe.py"
    path.write_text(block("The `id`", "python"), encoding="utf-8")
    audit_log_id = runpy.run_path(str(path))["audit_log_id"]
    fine = sample | {"timestamp": "2025-11-21T16:26:40.000000001Z"}
    page = json.dumps([sample, fine, *Dataset(records=500)]).encode()
    for precision in ("auto", "nanoseconds"):
        for event in events_of(page, "org-1", most=502, precision=precision):
            record = json.loads(event.json)
            assert audit_log_id(record) == record["id"]


def test_the_record_that_is_shown():
    record = json.loads(block("What you get", "json"))
    assert record in [json.loads(event_of(item, "sandbox").json) for item in HISTORY]


def test_the_demo_says_what_is_shown():
    picture = ET.fromstring(read("docs/demo.svg"))  # noqa: S314 - ours
    lines = picture.iter("{http://www.w3.org/2000/svg}text")
    output = "\n".join(line.text or "" for line in lines)
    source = inspect.getsource(scripts.demo)
    said = ("Sandbox", "First run", "Meanwhile", "Second run", "Check", "events added")
    for words in (*said, "rows are exactly the events of the sandbox"):
        assert words in output
        assert words in source
    (header,) = re.findall(r"^  (who .*)$", output, re.MULTILINE)
    assert header.split() == ["who", "type", "action", "object", "events"]
    total = int(re.findall(r"the ([\d,]+) rows", output)[0].replace(",", ""))
    first, later = re.findall(r"([\d,]+) (?:events loaded|events added)", output)
    assert total == int(first.replace(",", "")) + int(later)


def test_names_of_files_and_packages():
    (loader,) = yaml.safe_load(read("meltano.yml"))["plugins"]["loaders"]
    (path,) = (one["value"] for one in loader["settings"] if one["name"] == "filepath")
    assert f"--database {path.rpartition('/')[2]} " in section("Your own organization")
    for requirement in loader["pip_url"].split():
        assert f"'{requirement}'" in section("Without Meltano")


UNTIL = datetime(2026, 2, 1, tzinfo=UTC)
EVENTS = list(Dataset(records=300, until=UNTIL, days=390, distribution="even"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Do what "Without Meltano" says."""
    with Sandbox(EVENTS) as sandbox:
        folder = Folder(tmp_path_factory.mktemp("audit"), sandbox)
        folder.run(block("Without Meltano", "sh", "bash sync.sh"))
        yield folder


def ids_of(year):
    return sorted(ids(one for one in EVENTS if one["timestamp"].startswith(year)))


@NEEDS_DUCKDB
def test_without_meltano(folder):
    assert folder.ids() == ids_of("2026")
    shown = block("What you get", "sql")
    [(made,)] = folder.ask("SELECT sql FROM duckdb_tables()")
    assert re.sub(r"\s+", "", shown) == re.sub(r"\s+", "", made)


@NEEDS_DUCKDB
def test_a_query_shows_who_did_what_in_80_columns(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    *_, query = shlex.split(block("Your own organization", "sh", "SELECT"))
    assert " ".join(query.split()) in " ".join(scripts.demo.REPORT.split())
    assert scripts.query.main(["--database", f"{folder.path}/audit.duckdb", query]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len([line for line in lines if re.match(r"│ \d{4}-", line)]) == 10


@NEEDS_DUCKDB
def test_shards_without_meltano(folder, tmp_path):
    shutil.copytree(folder.path, tmp_path / "copy", symlinks=True)
    folder = copy(folder)
    folder.path = tmp_path / "copy"
    folder.run(block("Backfill in shards", "sh", "sync.sh"))
    shards = [path.stem for path in folder.path.glob("backfill-*.duckdb")]
    assert len(shards) == 3
    found = [one for shard in shards for one in folder.ids(shard)]
    assert sorted(found) == ids_of("2025")
    merge = block("Backfill in shards", "python")
    (folder.path / "merge.py").write_text(merge, encoding="utf-8")
    folder.run(f"'{sys.executable}' merge.py")
    assert folder.ids() == sorted(ids(EVENTS))


def test_shards_with_meltano(tmp_path):
    # Meltano is not at hand: a script notes how it is called, and fails.
    meltano = tmp_path / ".venv-meltano" / "bin" / "meltano"
    meltano.parent.mkdir(parents=True)
    names = ("TAP_AKUITY_START_DATE", "TAP_AKUITY_END_DATE", "TARGET_DUCKDB_FILEPATH")
    values = " ".join(f"${name}" for name in names)
    meltano.write_text(f'#!/bin/sh\necho {values} "$@" >> called\nexit 1\n', "utf-8")
    meltano.chmod(0o755)
    script = block("Backfill in shards", "sh", "meltano el")
    done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=False)  # noqa: S607
    assert done.returncode > 0
    same = block("Backfill in shards", "sh", "sync.sh")
    shards = re.findall(r"^(\S{10}) (\S{10})$", same, re.MULTILINE)
    assert sorted((tmp_path / "called").read_text("utf-8").splitlines()) == [
        f"{start} {end} backfill-{start}.duckdb el tap-akuity target-duckdb "
        f"--state-id backfill-{start}"
        for start, end in shards
    ]


@pytest.fixture(scope="module")
def fetch():
    """Return a function that fetches records with more settings, or a catalog."""
    with Sandbox(Dataset(records=400)) as sandbox:
        yield lambda settings, catalog=None: records(
            sync(config_for(sandbox, **settings), catalog=catalog)
        )


def recipes(title):
    return [yaml.safe_load(one) for one in blocks(section(title), "yaml")]


def test_only_some_events(fetch):
    everything = fetch({})
    by_the_api, by_a_map = recipes("Only some events")
    assert fetch(by_the_api["config"]) == [
        record
        for record in everything
        if record["action"] in {"created", "deleted"}
        and (record["actor"] or {}).get("type") in {"user", "api_key"}
    ]
    others = [
        one for one in everything if find(one, ("object", "type")) != "k8s_resource"
    ]
    assert None in [record["object"] for record in others]
    assert fetch(by_a_map["config"]) == others


def test_a_hash_in_the_place_of_the_ip_address(fetch):
    (recipe,) = recipes("A hash instead of the IP address")
    config = recipe["config"]
    assert config["stream_map_config"] == {"salt": "$AUDIT_LOG_SALT"}
    config["stream_map_config"]["salt"] = "pepper"
    expected = fetch({})
    for record in expected:
        if actor := record["actor"]:
            ip = actor.get("ip")
            hashed = sha256(f"pepper{ip}".encode()).hexdigest() if ip else None
            record["actor"] = {"origin": None, **actor, "ip": hashed}
    assert fetch(config) == expected


def test_without_the_patch(fetch):
    (with_meltano,) = recipes("Without `details.patch`")
    assert with_meltano["select"] == ["audit_logs.*", "!audit_logs.details.patch"]
    entry = json.loads(block("Without `details.patch`", "json"))
    assert entry["metadata"] == {"inclusion": "available", "selected": False}
    expected = fetch({})
    for record in expected:
        (record["details"] or {}).pop("patch", None)
    assert fetch({}, catalog_without(entry["breadcrumb"])) == expected


def texts(path):
    """Yield the texts of a module, with `…` for what is put in."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.JoinedStr):
            parts = [getattr(part, "value", "…") for part in node.values]
            yield "".join(part if isinstance(part, str) else "…" for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"%[sd]|%\.\df|\{\w*\}", "…", node.value)


def test_messages():
    known = "\n".join(
        text for path in (ROOT / "tap_akuity").rglob("*.py") for text in texts(path)
    )
    quoted = [row[0].strip("` ") for row in rows("Messages")]
    assert [message for message in quoted if message not in known] == []


def test_numbers():
    replication, limits, security = (
        " ".join(section(title).split())
        for title in ("How replication works", "What cannot be known", "Security")
    )
    assert "the last five minutes before the bookmark" in replication
    assert SCHEMA["properties"]["lookback_seconds"]["default"] == 5 * 60
    assert f"at most {Limits.max_events:,} events" in replication
    assert "up to five minutes each time" in replication
    assert MAX_RETRY_AFTER_SECONDS == 5 * 60
    assert "after ten" in limits
    assert MAX_FRUITLESS == 10
    sizes = f"({MAX_BODY_BYTES >> 20} MiB, or {MAX_ERROR_BODY_BYTES >> 10} KiB for an"
    assert sizes in security


def test_every_promise_has_a_test():
    _, page = read("CONTRIBUTING.md").split("## Promises and their tests")
    table, *_ = page.split("\n## ")
    promises = re.findall(r"^\| (?!promise|---)(.*?) \| (.*) \|$", table, re.MULTILINE)
    test = r"`tests/[/\w]+\.py[:\w]*`"
    for promise, tests in promises:
        assert re.fullmatch(rf"{test}(, {test})*", tests), promise
    told = re.findall(r"^- (.*?)\.$", section("Promises"), re.MULTILINE | re.DOTALL)
    assert [" ".join(one.split()) for one in told] == [one for one, _ in promises]


def test_the_readme_is_short_and_leads_to_every_page():
    assert read("README.md").count("\n") <= 200
    linked = re.findall(r"\]\((docs/\w+\.md)[)#]", read("README.md"))
    assert {"README.md", *linked} == set(MANUAL)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_exists(page):
    text = read(page)
    for path, name in re.findall(r"`(tests/[/\w]+\.py)(?:::(\w+))?`", text):
        assert (f"def {name}(" if name else "") in read(path), (path, name)
    for target in re.findall(r"(?:^\s*|`)make ([a-z-]+)", text, re.MULTILINE):
        assert f"\n{target}:" in read("Makefile")
    # `make docs` also checks the headings that links lead to.
    for link in re.findall(r"\]\((?!https://|#)([^)\s#]+)", text):
        assert ((ROOT / page).parent / link).exists(), link


def test_the_map_of_modules_is_complete():
    page, _ = read("CONTRIBUTING.md").split("## Promises and their tests")
    named = set(re.findall(r"^\| `(.*?)`", page, re.MULTILINE))
    modules = (ROOT / "tap_akuity").rglob("[!_]*.py")
    assert {str(path.relative_to(ROOT)) for path in modules} <= named
    assert all((ROOT / name).exists() for name in named)
