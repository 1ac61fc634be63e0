"""What the README and the pages in `docs/` show works, and what they say is so."""

from __future__ import annotations

import ast
import inspect
import json
import re
import runpy
import shlex
import subprocess
import sys
from collections import Counter
from datetime import datetime, timezone
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import demo.__main__
import demo.query
from demo import DATABASE
from demo.warehouse import TABLE, Busiest
from harness import ROOT
from sandbox.data import Dataset
from sandbox.server import Sandbox
from scripts.examples import HISTORY
from tap_akuity.api.errors import MAX_RETRY_AFTER_SECONDS
from tap_akuity.api.session import MAX_BODY_BYTES, MAX_ERROR_BODY_BYTES
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.window import MAX_MOVING
from tap_akuity.records import timestamps
from tap_akuity.settings import ENVIRONMENT_PREFIX, SCHEMA
from tap_akuity.tap import TapAkuity
from tests.helpers.events import event_of, events_of, ids
from tests.helpers.readme import (
    MANUAL,
    NEEDS_DUCKDB,
    Folder,
    block,
    blocks,
    lines_with_headings,
    read,
    section,
)
from tests.helpers.running import config_for, last_state, records, sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES = (
    *MANUAL,
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    *(str(path.relative_to(ROOT)) for path in (ROOT / "examples").rglob("README.md")),
)


def rows(text: str) -> list[list[str]]:
    """Give the cells of the first table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines[2:]]


def kind(schema: dict[str, Any]) -> str:
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    (name,) = set(types) - {"null"}
    if "format" in schema:
        return str(schema["format"])
    if name == "array":
        return "array of strings"
    if "exclusiveMinimum" in schema:
        limits = f"more than {schema['exclusiveMinimum']}, at most {schema['maximum']}"
        return f"{name}, {limits}"
    if "maximum" in schema:
        return f"{name}, {schema['minimum']} to {schema['maximum']}"
    if "minimum" in schema:
        return f"{name}, at least {schema['minimum']}"
    return str(name)


def shown(default: object) -> str:
    return default if isinstance(default, str) else json.dumps(default)


def test_settings() -> None:
    assert rows(section("Settings")) == [
        [
            f"`{name}`",
            kind(schema) + (", secret" if schema.get("secret") else ""),
            "yes" if name in SCHEMA["required"] else "no",
            f"`{shown(schema['default'])}`" if "default" in schema else "\N{EN DASH}",
            schema["description"],
        ]
        for name, schema in SCHEMA["properties"].items()
    ]


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"`{ENVIRONMENT_PREFIX}` and the name in capitals" in section("Settings")
    (example,) = re.findall(r"`(TAP_AKUITY_ACTIONS=.*?)`", section("Settings"))
    (word,) = shlex.split(example)
    monkeypatch.setenv(*word.split("=", 1))
    for name in SCHEMA["required"]:
        monkeypatch.setenv(f"{ENVIRONMENT_PREFIX}{name.upper()}", "x")
    config = TapAkuity(parse_env_config=True).config
    assert config["actions"] == ["created", "deleted"]


def test_settings_of_the_sdk() -> None:
    (sentence,) = re.findall(
        r"The SDK adds (.*?) and a few more", section("Settings"), re.DOTALL
    )
    schema = json.loads(json.dumps(SCHEMA))
    TapAkuity.append_builtin_config(schema)
    names = re.findall(r"`(\w+)`", sentence)
    assert len(names) > 3
    assert set(names) <= schema["properties"].keys()


def properties(schema: dict[str, Any], prefix: str = "") -> Iterator[list[str]]:
    for name, inner in schema["properties"].items():
        null = "yes" if "null" in inner["type"] else "no"
        yield [f"`{prefix}{name}`", kind(inner), null, inner["description"]]
        if "properties" in inner:
            yield from properties(inner, f"{prefix}{name}.")


def test_schema() -> None:
    path = ROOT / "tap_akuity" / "schemas" / "audit_logs.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    assert rows(section("The stream `audit_logs`")) == list(properties(schema))


def test_the_id_can_be_recomputed(sample: dict[str, Any], tmp_path: Path) -> None:
    (code,) = blocks(section("The `id`"), "python")
    path = tmp_path / "recipe.py"
    path.write_text(code, encoding="utf-8")
    audit_log_id = runpy.run_path(str(path))["audit_log_id"]
    fine = sample | {"timestamp": "2025-11-21T16:26:40.000000001Z"}
    page = json.dumps([sample, fine, *Dataset(records=500)]).encode()
    for precision in ("auto", "nanoseconds"):
        for event in events_of(page, "org-1", most=502, precision=precision):
            record = json.loads(event.json)
            assert audit_log_id(record) == record["id"]


def test_the_record_that_is_shown() -> None:
    (shown,) = map(json.loads, blocks(section("What you get"), "json"))
    found = [json.loads(event_of(item, "sandbox").json) for item in HISTORY]
    assert shown in found


@NEEDS_DUCKDB
def test_the_table_that_is_shown(tmp_path: Path) -> None:
    with Sandbox(Dataset(records=5)) as sandbox:
        folder = Folder(tmp_path, sandbox, start_date="2000-01-01")
        folder.run("bash sync.sh")
    (shown,) = blocks(section("What you get"), "sql")
    [(made,)] = folder.ask("SELECT sql FROM duckdb_tables()")
    assert re.sub(r"\s+", "", shown) == re.sub(r"\s+", "", made)


@NEEDS_DUCKDB
def test_queries_show_who_did_what_in_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with Sandbox(Dataset(records=200)) as sandbox:
        folder = Folder(tmp_path, sandbox, start_date="2000-01-01")
        folder.run("bash sync.sh")
    (command,) = re.findall(
        r"-m demo\.query (\".*?\")$", demo.__main__.REPORT, re.DOTALL | re.MULTILINE
    )
    (from_demo,) = shlex.split(command)
    *_, from_page = shlex.split(block("Your own organization", "sh", "SELECT"))
    for query in (from_demo, from_page):
        file = str(tmp_path / "audit.duckdb")
        assert demo.query.main(["--file", file, query]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert all(len(line) <= 80 for line in lines)
        header = next(line for line in lines if "who" in line)
        names = [name.strip() for name in header.split("│")[1:-1]]
        assert names == ["time", "action", "who", "object"]
        assert len([line for line in lines if re.match(r"│ \d{4}-", line)]) == 10


def test_the_demo_says_what_is_shown() -> None:
    (output,) = blocks(section("Try it on the sandbox"), "text")
    source = inspect.getsource(demo.__main__)
    said = ("Sandbox", "First run", "Meanwhile", "Second run", "Check", "events added")
    for words in (*said, "rows are exactly the events of the sandbox"):
        assert words in output
        assert words in source
    header = next(line for line in output.splitlines() if line.startswith("  who"))
    assert header.split() == list(Busiest._fields)
    assert output.count(f"meltano run {' '.join(demo.__main__.PIPELINE)}") == 2


def test_names_of_tables_and_files() -> None:
    query = section("Your own organization")
    assert f"FROM {TABLE} " in query
    project = yaml.safe_load((ROOT / "meltano.yml").read_bytes())
    (loader,) = project["plugins"]["loaders"]
    values = {setting["name"]: setting.get("value") for setting in loader["settings"]}
    assert values["filepath"] == "$MELTANO_PROJECT_ROOT/warehouse.duckdb"
    assert "--file warehouse.duckdb" in query
    assert DATABASE.name not in query
    for requirement in loader["pip_url"].split():
        assert f"'{requirement}'" in section("Without Meltano")


def test_the_settings_in_an_existing_project() -> None:
    script = block("An existing Meltano project", "sh", "--test")
    *settings, last = [shlex.split(line) for line in script.splitlines()]
    assert [words[:4] for words in settings] == [
        ["meltano", "config", "set", TapAkuity.name]
    ] * len(settings)
    names = [name for *_, name, _ in settings]
    assert names == [*SCHEMA["required"], "start_date"]
    assert last == ["meltano", "invoke", TapAkuity.name, "--test"]


def year_and_more() -> list[dict[str, Any]]:
    """Make events of the year of the README's shards, and of the time after it."""
    until = datetime(2026, 2, 1, tzinfo=timezone.utc)
    return list(Dataset(records=300, until=until, days=390, distribution="even"))


def in_the_year(items: list[dict[str, Any]]) -> list[str]:
    return ids(item for item in items if item["timestamp"] < "2026")


@NEEDS_DUCKDB
def test_without_meltano(tmp_path: Path) -> None:
    command = block("Without Meltano", "sh", "bash sync.sh")
    data = year_and_more()
    with Sandbox(data) as sandbox:
        folder = Folder(tmp_path, sandbox)
        folder.run(command)
        first = set(ids(data)) - set(in_the_year(data))
        assert set(folder.ids()) == first
        state = json.loads((tmp_path / "audit.state.json").read_bytes())
        newest = state["bookmarks"]["audit_logs"]["replication_key_value"]
        later = data[-1] | {"timestamp": f"{newest[:10]} 23:59:59.5 +0000 UTC"}
        sandbox.store.add([later])
        folder.run(command)
    assert sorted(folder.ids()) == sorted([*first, *ids([later])])
    *_, query = shlex.split(block("Your own organization", "sh", "SELECT"))
    assert len(folder.ask(query)) == 10


@NEEDS_DUCKDB
def test_a_target_that_fails_leaves_the_state(tmp_path: Path) -> None:
    with Sandbox(year_and_more()) as sandbox:
        folder = Folder(tmp_path, sandbox)
        (tmp_path / "audit.duckdb").write_text("no database", encoding="utf-8")
        with pytest.raises(subprocess.CalledProcessError) as caught:
            folder.run("bash sync.sh")
    assert caught.value.returncode == 1
    assert (tmp_path / "audit.state.json").read_text(encoding="utf-8") == "{}\n"


@NEEDS_DUCKDB
def test_shards_without_meltano(tmp_path: Path) -> None:
    script = block("Backfill in shards", "sh", "sync.sh")
    (merge,) = blocks(section("Backfill in shards"), "python")
    (tmp_path / "merge.py").write_text(merge, encoding="utf-8")
    data = year_and_more()
    with Sandbox(data) as sandbox:
        folder = Folder(tmp_path, sandbox)
        folder.run(script)
        shards = sorted(path.stem for path in tmp_path.glob("backfill-*.duckdb"))
        folder.run("bash sync.sh")
    assert len(shards) == 3
    found = [one for shard in shards for one in folder.ids(shard)]
    assert Counter(found) == Counter(in_the_year(data))
    folder.run(f"'{sys.executable}' merge.py")
    assert Counter(folder.ids()) == Counter(ids(data))


def test_shards_with_meltano(tmp_path: Path) -> None:
    # Meltano is not at hand: only what the command asks of it is looked at.
    meltano = tmp_path / ".venv-meltano" / "bin" / "meltano"
    meltano.parent.mkdir(parents=True)
    names = ("TAP_AKUITY_START_DATE", "TAP_AKUITY_END_DATE", "TARGET_DUCKDB_FILEPATH")
    values = " ".join(f'"${name}"' for name in names)
    meltano.write_text(f'#!/bin/sh\necho {values} "$@" >> asked\n', encoding="utf-8")
    meltano.chmod(0o755)
    script = block("Backfill in shards", "sh", "meltano el")
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=True)  # noqa: S607
    asked = (tmp_path / "asked").read_text(encoding="utf-8").splitlines()
    cuts = ["2025-01-01", "2025-05-01", "2025-09-01", "2026-01-01"]
    assert sorted(asked) == [
        f"{start} {end} backfill-{start}.duckdb el tap-akuity target-duckdb "
        f"--state-id backfill-{start}"
        for start, end in pairwise(cuts)
    ]
    meltano.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    failed = subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=False)  # noqa: S607
    assert failed.returncode > 0


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    with Sandbox(Dataset(records=400)) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def everything(served: Sandbox) -> list[dict[str, Any]]:
    return records(sync(config_for(served)))


def recipes(title: str) -> list[dict[str, Any]]:
    return [yaml.safe_load(one) for one in blocks(section(title), "yaml")]


def test_only_some_events(served: Sandbox, everything: list[dict[str, Any]]) -> None:
    by_the_api, by_a_map = recipes("Only some events")
    assert records(sync(config_for(served, **by_the_api["config"]))) == [
        record
        for record in everything
        if record["action"] in {"created", "deleted"}
        and (record["actor"] or {}).get("type") in {"user", "api_key"}
    ]
    messages = sync(config_for(served, **by_a_map["config"]))
    wanted = [
        record
        for record in everything
        if (record["object"] or {}).get("type") != "k8s_resource"
    ]
    assert 0 < len(wanted) < len(everything)
    assert None in [record["object"] for record in wanted]
    assert records(messages) == wanted
    state = last_state(messages)["bookmarks"]["audit_logs"]
    newest = timestamps.parse(everything[-1]["timestamp"])
    assert timestamps.parse(state["replication_key_value"]) == newest


def test_a_hash_in_the_place_of_the_ip_address(
    served: Sandbox, everything: list[dict[str, Any]]
) -> None:
    (recipe,) = recipes("A hash instead of the IP address")
    config = recipe["config"]
    assert config["stream_map_config"] == {"salt": "$AUDIT_LOG_SALT"}
    config["stream_map_config"]["salt"] = "pepper"
    messages = sync(config_for(served, **config))
    found = records(messages)
    for record, plain in zip(found, everything, strict=True):
        if plain["actor"]:
            ip = plain["actor"].get("ip")
            hashed = sha256(f"pepper{ip}".encode()).hexdigest() if ip else None
            assert record["actor"] == {"origin": None, **plain["actor"], "ip": hashed}
        else:
            assert record["actor"] is None
        assert record["id"] == plain["id"]
    assert len({(record["actor"] or {}).get("ip") for record in found}) > 5
    (schema,) = (m["schema"] for m in messages if m["type"] == "SCHEMA")
    assert schema["properties"]["actor"]["type"] == ["object", "null"]


def test_without_the_patch(served: Sandbox, everything: list[dict[str, Any]]) -> None:
    title = "Without `details.patch`"
    (entry,) = map(json.loads, blocks(section(title), "json"))
    catalog = TapAkuity(config=config_for(served)).catalog_dict
    metadata = catalog["streams"][0]["metadata"]
    (place,) = (
        place
        for place, known in enumerate(metadata)
        if known["breadcrumb"] == entry["breadcrumb"]
    )
    metadata[place] = entry
    messages = sync(config_for(served), catalog=catalog)
    assert [record["id"] for record in records(messages)] == [
        plain["id"] for plain in everything
    ]
    found = [record["details"] for record in records(messages)]
    assert found == [
        plain["details"] and {k: v for k, v in plain["details"].items() if k != "patch"}
        for plain in everything
    ]
    (schema,) = (m["schema"] for m in messages if m["type"] == "SCHEMA")
    assert "patch" not in schema["properties"]["details"]["properties"]
    # Meltano's selection means the same property.
    (recipe,) = recipes(title)
    name = ".".join(entry["breadcrumb"][1::2])
    assert recipe["select"] == ["audit_logs.*", f"!audit_logs.{name}"]


def texts(path: Path) -> Iterator[str]:
    """Give the texts of a module, with `…` for what is put in."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = [
                part.value if isinstance(part, ast.Constant) else "…"
                for part in node.values
            ]
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"%[sd]|%\.\df|\{\w*\}", "…", node.value)


def test_messages() -> None:
    known = [
        text for path in (ROOT / "tap_akuity").rglob("*.py") for text in texts(path)
    ]
    quoted = [row[0].strip("`").strip() for row in rows(section("Troubleshooting"))]
    quoted += [row[0].strip("`").strip() for row in rows(section("Messages"))]
    assert len(quoted) > 25
    unknown = [
        message for message in quoted if not any(message in text for text in known)
    ]
    assert unknown == []


@pytest.mark.parametrize("page", PAGES)
def test_tests_that_are_named_exist(page: str) -> None:
    text = read(page)
    for path, name in set(re.findall(r"`(tests/[/\w]+\.py)(?:::(\w+))?`", text)):
        content = (ROOT / path).read_text(encoding="utf-8")
        assert f"def {name}(" in content if name else content, (path, name)


def test_numbers() -> None:
    replication = " ".join(section("How replication works").split())
    assert SCHEMA["properties"]["lookback_seconds"]["default"] == 5 * 60
    assert "the last five minutes before the bookmark" in replication
    assert f"at most {Limits.max_events:,} events" in replication
    assert MAX_RETRY_AFTER_SECONDS == 5 * 60
    assert "up to five minutes each time" in replication
    assert MAX_MOVING == 3
    assert "up to three times" in " ".join(section("What cannot be known").split())
    security = " ".join(section("Security").split())
    sizes = f"({MAX_BODY_BYTES >> 20} MiB, or {MAX_ERROR_BODY_BYTES >> 10} KiB for an"
    assert sizes in security


def test_every_promise_has_a_test() -> None:
    promises = rows(section("Promises and the tests that hold them"))
    assert len(promises) > 15
    test = r"`tests/[/\w]+\.py[:\w]*`"
    for promise, tests in promises:
        assert re.fullmatch(rf"{test}(, {test})*", tests), promise


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    text = read("README.md")
    assert len(text.splitlines()) <= 250
    linked = set(re.findall(r"\]\((docs/\w+\.md)[)#]", text))
    assert linked == set(MANUAL) - {"README.md"}


def test_the_site_leads_to_every_page() -> None:
    text = read("mkdocs.yml")
    assert "strict: true" in text
    linked = set(re.findall(r"^ *- (?:.*: )?(\S+\.md)$", text, re.MULTILINE))
    assert linked >= set(MANUAL)


def test_no_two_sections_have_one_title() -> None:
    titles = [
        line.lstrip("# ")
        for page in MANUAL
        for line, level in lines_with_headings(read(page))
        if level
    ]
    assert max(Counter(titles).values()) == 1, Counter(titles).most_common(1)


def anchor(heading: str) -> str:
    text = re.sub(r"[^\w\- ]", "", heading.lstrip("# ").lower())
    return text.replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = read(page)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        name, _, fragment = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        if fragment:
            lines = lines_with_headings(target.read_text(encoding="utf-8"))
            assert fragment in {anchor(line) for line, level in lines if level}, link


@pytest.mark.parametrize("page", PAGES)
def test_targets_of_make_exist(page: str) -> None:
    text = read(page)
    makefile = read("Makefile")
    for target in set(re.findall(r"(?:^\s*|`)make ([a-z-]+)", text, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_map_of_modules_is_complete() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(.*?)`", text, re.MULTILINE))
    modules = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tap_akuity").rglob("*.py")
        if path.name != "__init__.py"
    }
    assert modules <= named
    assert all((ROOT / name).exists() for name in named)
