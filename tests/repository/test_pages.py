"""What the README and the pages in `docs/` show works, and what they say is so."""

import ast
import fcntl
import gzip
import inspect
import json
import re
import runpy
import shlex
from xml.etree import ElementTree as ET

import pytest
import yaml

import scripts.demo
import scripts.query
from sandbox.data import Dataset
from sandbox.server import Sandbox
from sandbox.truth import differences, instants, truth
from scripts import ROOT
from scripts.examples import HISTORY
from scripts.warehouse import TABLE
from tap_akuity.api.errors import MAX_RETRY_AFTER_SECONDS
from tap_akuity.api.session import MAX_BODY_BYTES, MAX_ERROR_BODY_BYTES
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.window import MAX_FRUITLESS
from tap_akuity.settings import SCHEMA
from tap_akuity.tap import TapAkuity
from tests.helpers.catalogs import catalog_without
from tests.helpers.events import event_of, events_of, ids
from tests.helpers.questions import event
from tests.helpers.readme import MANUAL, Folder, bash, block, blocks, read, section
from tests.helpers.recipes import RECIPES, combined
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


def test_the_table_of_settings_is_their_schema():
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


def test_the_table_of_properties_is_the_schema():
    schema = json.loads(read("tap_akuity/schemas/audit_logs.json"))
    assert rows("The stream `audit_logs`") == list(properties(schema))


def test_the_recipe_of_the_id_gives_the_id(sample, tmp_path):
    path = tmp_path / "recipe.py"
    path.write_text(block("The `id`", "python"), encoding="utf-8")
    audit_log_id = runpy.run_path(str(path))["audit_log_id"]
    fine = sample | {"timestamp": "2025-11-21T16:26:40.000000001Z"}
    page = json.dumps([sample, fine, *Dataset(records=500)]).encode()
    for precision in ("auto", "nanoseconds"):
        for one in events_of(page, "org-1", most=502, precision=precision):
            record = json.loads(one.json)
            assert audit_log_id(record) == record["id"]


def test_the_record_that_is_shown_is_one_of_the_history():
    record = json.loads(block("What you get", "json"))
    alike = [item for item in HISTORY if item["details"] == record["details"]]
    assert record in [json.loads(event_of(item, "sandbox").json) for item in alike]


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
    numbers = re.findall(r"([\d,]+) (?:events loaded|events added|rows)", output)
    first, later, total = (int(number.replace(",", "")) for number in numbers)
    assert total == first + later


def test_names_of_files_and_packages_are_those_of_the_project():
    (loader,) = yaml.safe_load(read("meltano.yml"))["plugins"]["loaders"]
    (path,) = (one["value"] for one in loader["settings"] if one["name"] == "filepath")
    assert f"--database {path.rpartition('/')[2]} " in section("Your own organization")
    for requirement in loader["pip_url"].split():
        assert f"'{requirement}'" in section("Without Meltano")


def texts(path):
    """Yield the texts of a module, with `…` for what is put in."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.JoinedStr):
            parts = [getattr(part, "value", "…") for part in node.values]
            yield "".join(part if isinstance(part, str) else "…" for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"%[sd]|%\.\df|\{\w*\}", "…", node.value)


def test_messages_are_those_of_the_code():
    known = "\n".join(
        text for path in (ROOT / "tap_akuity").rglob("*.py") for text in texts(path)
    )
    quoted = [row[0].strip("` ") for row in rows("Messages")]
    assert [message for message in quoted if message not in known] == []


def test_numbers_are_those_of_the_code():
    lookback = SCHEMA["properties"]["lookback_seconds"]["default"]
    assert (lookback, MAX_RETRY_AFTER_SECONDS, MAX_FRUITLESS) == (300, 300, 10)
    replication = ("the last five minutes before", "up to five minutes each time")
    most, of_errors = MAX_BODY_BYTES >> 20, MAX_ERROR_BODY_BYTES >> 10
    for title, *sentences in (
        (
            "How replication works",
            *replication,
            f"at most {Limits.max_events:,} events",
        ),
        ("What cannot be known", "after ten"),
        ("Security", f"({most} MiB, or {of_errors} KiB for an"),
    ):
        text = " ".join(section(title).split())
        assert [one for one in sentences if one not in text] == []


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


# What runs `sync.sh` or a target is in `tests/e2e/test_pages.py`.

PERSON = "ann@example.com"
EVENTS = [
    event("2020-01-01 12:00:00", "created", f"user {PERSON}"),
    event("2020-01-01 12:00:00", "created", kind="member", name=PERSON, details=None),
    event("2020-01-01 12:00:00", "created", details={"message": f"by {PERSON}"}),
    *Dataset(records=800),
]


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(EVENTS) as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return Folder(tmp_path_factory.mktemp("audit")).fill(EVENTS)


def test_two_pages_show_the_same_table(folder, tmp_path):
    # That target-duckdb makes it is tested end to end.
    described = f"DESCRIBE {TABLE}"
    made = f"CREATE SCHEMA akuity; {block('What you get', 'sql')} {described}"
    assert Folder(tmp_path).ask(made) == folder.ask(described)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_does_what_it_says(recipe, sandbox):
    settings, change = combined(recipe)
    expected = change(truth(sandbox))
    found = records(sync(config_for(sandbox, **settings)))
    assert differences(expected, map(instants, found)) == []
    assert expected


def test_each_recipe_is_tested():
    text = section("Events") + section("Columns")
    titles = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert titles == {*RECIPES.values(), "Without `details.patch`"}


def test_without_the_patch(sandbox):
    (with_meltano,) = blocks(section("Without `details.patch`"), "yaml")
    selected = yaml.safe_load(with_meltano)["select"]
    assert selected == ["audit_logs.*", "!audit_logs.details.patch"]
    entry = json.loads(block("Without `details.patch`", "json"))
    assert entry["metadata"] == {"inclusion": "available", "selected": False}
    expected = truth(sandbox)
    for row in expected.values():
        (row["details"] or {}).pop("patch", None)
    catalog = catalog_without(entry["breadcrumb"])
    found = records(sync(config_for(sandbox), catalog=catalog))
    assert differences(expected, map(instants, found)) == []


def test_batch_files_hold_every_event(sandbox, tmp_path):
    recipe = json.loads(block("Batch files", "json"))
    recipe["batch_config"]["storage"]["root"] = tmp_path.as_uri()
    sync(config_for(sandbox, **recipe))
    files = [gzip.decompress(path.read_bytes()) for path in tmp_path.glob("audit-*")]
    found = [json.loads(line)["id"] for line in b"".join(files).splitlines()]
    assert sorted(found) == sorted(ids(EVENTS))


def test_the_size_of_an_event():
    (size,) = re.findall(r"one\s+in\s+JSON\s+lines\s+about\s+(\d+)", section("Size"))
    sizes = [len(event_of(item, "sandbox").json) for item in Dataset(records=500)]
    assert sum(sizes) / len(sizes) == pytest.approx(int(size), rel=0.1)


def test_a_query_shows_who_did_what_in_80_columns(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    *_, query = shlex.split(block("Your own organization", "sh", "SELECT"))
    assert " ".join(query.split()) in " ".join(scripts.demo.REPORT.split())
    assert scripts.query.main(["--database", f"{folder.path}/audit.duckdb", query]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len([line for line in lines if re.match(r"│ \d{4}-", line)]) == 10


def test_akuity_counts_as_many_events_of_a_day_as_there_are_rows(folder, sandbox):
    title = "How do I prove that nothing is missing?"
    names = ("ORGANIZATION_ID", "API_KEY_ID", "API_KEY_SECRET", "API_URL")
    lines = [f"TAP_AKUITY_{n}={config_for(sandbox)[n.lower()]}\n" for n in names]
    (folder.path / ".env").write_text("".join(lines), encoding="utf-8")
    days = folder.ask(block(title, "sql"))
    assert len(days) == 7
    day, events = days[1]
    script = block(title, "sh").replace("2026-01-01", str(day))
    bash(f"({script}) > counted", folder.path)
    counted = (folder.path / "counted").read_text("utf-8")
    assert re.findall(r"\d+", counted) == [str(events)]


def test_who_changed_a_field(folder):
    found = folder.ask(block("Can I see who changed a field?", "sql"))
    assert len(found) == 10
    assert all('"image"' in patch for *_, patch in found)


def test_a_person_is_deleted_wherever_an_event_names_them(folder):
    shown = block("Deleting a person's data", "sql")
    (placeholder,) = set(re.findall(r"[\w.]+@[\w.]+", shown))
    before = folder.ids()
    folder.ask(shown.replace(placeholder, PERSON))
    assert {*before} - {*folder.ids()} == {*ids(EVENTS[:3])}


@pytest.mark.parametrize(("hours", "stale"), [(25, True), (23, False)])
def test_how_fresh_the_table_is(tmp_path, hours, stale):
    folder = Folder(tmp_path).fill(EVENTS[:1])
    moment = f"now() AT TIME ZONE 'UTC' - INTERVAL '{hours} hours'"
    folder.ask(f"UPDATE {TABLE} SET timestamp = {moment}")  # noqa: S608
    [(_, found)] = folder.ask(block("Alerts", "sql"))
    assert found is stale


@pytest.fixture
def ran(tmp_path):
    """Put a `sync.sh` that fails into `audit`, and return the file that it writes."""
    (tmp_path / "audit").mkdir()
    script = 'touch "$(dirname "$0")/ran"; exit 3\n'
    (tmp_path / "audit" / "sync.sh").write_text(script, encoding="utf-8")
    return tmp_path / "audit" / "ran"


def test_cron_runs_it_unless_it_is_running(tmp_path, ran, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (line,) = re.findall(r"^\d+ \* \* \* \* (.*)$", block("cron", "text"), re.MULTILINE)
    with (tmp_path / "audit" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        bash(line, tmp_path, code=75)
        assert not ran.exists()
    bash(line, tmp_path, code=3)
    assert ran.exists()


def test_systemd_runs_it_every_hour(tmp_path, ran):
    service, timer = (
        dict(re.findall("^(.*?)=(.*)$", unit, re.MULTILINE))
        for unit in blocks(section("systemd"), "ini")
    )
    assert (service["Type"], timer["OnCalendar"]) == ("oneshot", "hourly")
    bash(service["ExecStart"].replace("%h", str(tmp_path)), tmp_path, code=3)
    assert ran.exists()


def test_shards_with_meltano(tmp_path):
    # Meltano is not at hand: a script notes how it is called, and fails.
    meltano = tmp_path / ".venv-meltano" / "bin" / "meltano"
    meltano.parent.mkdir(parents=True)
    names = ("TAP_AKUITY_START_DATE", "TAP_AKUITY_END_DATE", "TARGET_DUCKDB_FILEPATH")
    values = " ".join(f"${name}" for name in names)
    meltano.write_text(f'#!/bin/sh\necho {values} "$@" >> called\nexit 1\n', "utf-8")
    meltano.chmod(0o755)
    bash(block("Backfill in shards", "sh", "meltano el"), tmp_path, code=123)
    same = block("Backfill in shards", "sh", "sync.sh")
    shards = re.findall(r"^(\S{10}) (\S{10})$", same, re.MULTILINE)
    assert sorted((tmp_path / "called").read_text("utf-8").splitlines()) == [
        f"{start} {end} backfill-{start}.duckdb el tap-akuity target-duckdb "
        f"--state-id backfill-{start}"
        for start, end in shards
    ]
