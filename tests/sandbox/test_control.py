"""How the sandbox is steered: its endpoints and its command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import fields
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests

from harness import ROOT
from sandbox.__main__ import main, parser
from sandbox.access import EXPIRED_KEY, VIEWER_KEY
from sandbox.data import Dataset
from sandbox.faults import KINDS, Plan
from sandbox.server import Sandbox
from sandbox.state import Options
from sandbox.store import Behaviour, Store
from tests.helpers.sandbox import (
    ITEMS,
    PATH,
    UNTIL,
    UNTIL_NS,
    assert_refused,
    event,
    generate,
    instant,
)

if TYPE_CHECKING:
    from sandbox.data import Item


@pytest.mark.parametrize("count", [0, 1, 2500])
def test_the_truth(client, count):
    items = [event(n, str(n)) for n in range(count)]
    client.server.state.store = Store(items)
    assert client.get(path="/sandbox/events").json() == items


def test_new_events_happen_now(client):
    before = time.time_ns()
    added = client.post("/sandbox/events?count=30").json()
    added += client.post("/sandbox/events").json()
    found = [instant(item) for item in added]
    assert len(added) == 31
    assert before <= found[0]
    assert found[-1] <= time.time_ns()
    assert found == sorted(set(found))
    assert client.get(path="/sandbox/events").json() == ITEMS + added

    def happen() -> list[Item]:
        sandbox = Sandbox(Dataset(5, seed=4, until=UNTIL))
        sandbox.state.clock = lambda: UNTIL_NS
        return sandbox.state.happen(4)

    assert happen() == happen()


def test_items_are_added_as_they_are(client):
    odd = event(5, "odd \ud83d 🚀", added="later", count=0)
    assert client.post("/sandbox/events", [odd]).json() == [odd]
    unreadable = event(5, timestamp="soon")
    path = "/sandbox/events?at=2000-01-01T00:00:00Z"
    assert client.post(path, [unreadable]).status_code == 200
    assert client.get(path="/sandbox/events").json() == [odd, unreadable, *ITEMS]


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("events", {}, "the body must be a JSON array of objects"),
        ("events", [1], "the body must be a JSON array of objects"),
        ("events", [{}], "'None' is not a timestamp"),
        ("events", [event(1, timestamp="soon")], "'soon' is not a timestamp"),
        ("events", [event(1, actor="ana")], "`actor` must be an object"),
        ("events?at=today", [event(1)], "'today' is not a timestamp"),
        ("events?count=0", None, "count must be a whole number from 1 to 100000"),
        ("events?count=-1", None, "count must be a whole number from 1 to 100000"),
        ("events?count=some", None, "count must be a whole number from 1 to 100000"),
        ("faults", None, "the body is not valid JSON"),
        ("faults", [], "the body must be a JSON object"),
        ("faults", {"kinds": ["501st"]}, "unknown fault '501st': choose from close"),
        ("faults", {"kinds": "500"}, "kinds must be a list of strings, not '500'"),
        ("faults", {"kinds": [1]}, "kinds must be a list of strings, not (1,)"),
        ("faults", {"kind": "500"}, "unknown member 'kind': choose from kinds, rate"),
        ("faults", {"rate": 2}, "rate must be a number from 0 to 1, not 2"),
        ("faults", {"rate": "0.3"}, "rate must be a number of at least 0, not '0.3'"),
        ("faults", {"times": -1}, "times must be a whole number of at least 0, not -1"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(client, path, content, message):
    response = client.post(f"/sandbox/{path}", content)
    assert assert_refused(response, 400, 3).startswith(message)
    assert client.get().json()["totalCount"] == len(ITEMS)


def test_stats(client):
    queries = [
        "filters.limit=1&filters.offset=99",
        "filters.limit=50&filters.offset=7",
        "limit=3",
    ]
    for query in queries:
        client.get(query)
    client.get(auth=("wrong", "wrong"))
    expected = {
        "requests": 4,
        "in_flight_max": 1,
        "faults": {},
        "queries": [*queries, ""],
        "neighbours": {},
    }
    assert client.get(path="/sandbox/stats").json() == expected
    assert client.post("/sandbox/reset-stats").status_code == 200
    assert client.get(path="/sandbox/stats").json()["requests"] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_one_line_and_ends_when_told(number):
    arguments = ["--records=30", "--seed=4", "--until=2025-11-21T16:30:00Z"]
    arguments += ["--organization-id=acme", "--no-date-header", "--max-limit=5"]
    arguments += ["--fault-kinds", "503", "502", "--fault-times=1", "--spaces"]
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process, requests.Session() as session:
        ready = json.loads(process.stdout.readline() if process.stdout else "")
        assert ready == {
            "url": ready["url"],
            "organization_id": "acme",
            "api_key_id": "sandbox-key-id",
            "api_key_secret": "sandbox-key-secret",
            "records": 30,
        }
        session.auth = (ready["api_key_id"], ready["api_key_secret"])
        session.trust_env = False
        url = ready["url"] + PATH.replace("sandbox", "acme")
        assert session.get(url, timeout=5).status_code in {502, 503}
        response = session.get(url, timeout=5)
        process.send_signal(number)
        out, err = process.communicate(timeout=5)
    assert "date" not in response.headers
    assert response.json()["items"] == generate(30, 4, UNTIL)[:-6:-1]
    assert b'": ' in response.content
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--records=-1", "--records: must be a whole number of at least 0, not '-1'"),
        ("--records=many", "--records: must be a whole number of at least 0"),
        ("--distribution=odd", "choose from"),
        ("--until=today", "must be a time such as 2025-01-31T08:30:00Z, not 'today'"),
        ("--fault-kinds=odd", "unknown fault 'odd': choose from close-before, "),
        ("--fault-rate=1.5", "rate must be a number from 0 to 1, not 1.5"),
        ("--twins=2001", "twins must be at most 2000, the number of records"),
        ("--port=65536", "port 65536 is in use or not allowed"),
        ("--port=", "port "),
        ("--nonsense", "unrecognized arguments: --nonsense"),
    ],
)
def test_the_command_refuses_in_one_sentence(
    argument, message, running, monkeypatch, capsys
):
    if argument == "--port=":
        argument += str(urlsplit(running.server.url).port)
    monkeypatch.setattr(sys, "argv", ["sandbox", argument])
    with pytest.raises(SystemExit) as caught:
        main()
    out, err = capsys.readouterr()
    assert (caught.value.code, out) == (2, "")
    assert err.startswith("sandbox: ")
    assert message in err
    assert err.count("\n") == 1


def test_help_lists_all_there_is(running):
    text = " ".join(parser().format_help().split())
    names = [
        field.name for cls in (Dataset, Behaviour, Options) for field in fields(cls)
    ]
    names += [f"fault_{field.name}" for field in fields(Plan)]
    paths = [route.path for route in running.server._config.app.routes]
    for expected in (
        *(f"--{name.replace('_', '-')} " for name in names),
        *(f"{key.id}:{key.secret}" for key in (VIEWER_KEY, EXPIRED_KEY)),
        *(path for path in paths if path.startswith("/sandbox/")),
        *KINDS,
    ):
        assert expected in text.replace(",", " ")
