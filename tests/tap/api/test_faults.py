"""What the network and the server can do to a sync: the matrix of faults."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import backoff
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from singer_sdk.exceptions import FatalAPIError

from sandbox.data import Dataset
from sandbox.faults import KINDS, Faults, Plan
from sandbox.server import Sandbox
from tap_akuity.records import timestamps
from tap_akuity.records.event import RecordError
from tests.helpers.clients import ORGANIZATION_URL, URL, stream_of
from tests.helpers.events import ids
from tests.helpers.faults import HUGE, SLOW
from tests.helpers.running import config_for, records, stats, sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests_mock import Mocker

DATA = list(Dataset(records=120))

FATAL = {"400", "401", "403", "404", "501", "escape-message", "redirect"}
NO_PAGE = {
    "huge-number",
    "items-missing",
    "items-null",
    "items-object",
    "total-missing",
    "total-string",
}
PASSING = sorted(set(KINDS) - FATAL - HUGE - NO_PAGE)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait hardly between tries."""
    monkeypatch.setattr(backoff, "full_jitter", lambda _: 0.001)
    monkeypatch.setattr("tap_akuity.api.errors.MAX_RETRY_AFTER_SECONDS", 0.01)


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    with Sandbox(DATA) as sandbox:
        yield sandbox


def inflict(sandbox: Sandbox, *kinds: str, **plan: Any) -> None:
    plan.setdefault("location", "https://evil.example.com/x")
    sandbox.state.faults = Faults(Plan(kinds=kinds, **plan))
    sandbox.state.stats.reset()


def test_the_matrix_is_complete() -> None:
    assert set(PASSING) | FATAL | HUGE | NO_PAGE == set(KINDS)
    assert len(PASSING) > 20


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("kind", sorted(SLOW))
def test_what_takes_too_long_can_pass(served: Sandbox, kind: str) -> None:
    inflict(served, kind, times=2)
    settings = {"page_size": 50, "max_retries": 2, "request_timeout_seconds": 0.3}
    emitted = records(sync(config_for(served, **settings)))
    assert Counter(r["id"] for r in emitted) == Counter(ids(DATA))
    assert stats(served)["faults"] == {kind: 2}


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("kind", PASSING)
def test_what_does_not_pass_ends_in_one_sentence(served: Sandbox, kind: str) -> None:
    inflict(served, kind, retry_after="0")
    seconds = 0.2 if kind in SLOW else 30
    with pytest.raises(FatalAPIError) as caught:
        sync(config_for(served, max_retries=1, request_timeout_seconds=seconds))
    message = str(caught.value)
    assert message.isprintable()
    assert message.endswith(" Attempts: 2.")
    if kind[:3].isdecimal():
        assert f"HTTP {kind[:3]}" in message
        assert "cf-ray " in message
        assert "x-version " in message


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_third_of_all_requests_fails_in_mixed_ways(concurrency: int) -> None:
    data = list(Dataset(records=20_000))
    kinds = sorted(set(PASSING) - SLOW)
    with Sandbox(data) as sandbox:
        inflict(sandbox, *kinds, rate=0.3, seed=concurrency, retry_after="0")
        emitted = records(
            sync(
                config_for(
                    sandbox, page_size=100, max_retries=12, concurrency=concurrency
                )
            )
        )
        faults = stats(sandbox)["faults"]
    assert Counter(r["id"] for r in emitted) == Counter(ids(data))
    times = [timestamps.parse(record["timestamp"]) for record in emitted]
    assert times == sorted(times)
    assert sum(faults.values()) > 50
    assert len(faults) > 20


@pytest.mark.usefixtures("hasty")
def test_a_server_that_is_away_for_a_while() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found: list[Any] = []
    with Sandbox(DATA, port=port, faults=Plan(kinds=("503",))) as sandbox:
        config = config_for(sandbox, max_retries=100_000)
        thread = threading.Thread(target=lambda: found.extend(sync(config)))
        thread.start()
        while not stats(sandbox)["faults"]:
            time.sleep(0.01)
    with Sandbox(DATA, port=port):
        thread.join(timeout=60)
    assert len(records(found)) == len(DATA)


STREAM = stream_of(start_date="2020-01-01", end_date="2026-01-01")
BODY = (
    b'{"items":[{"timestamp":"2025-11-21 16:26:40.1 +0000 UTC","action":"a",'
    b'"actor":{"id":"\xc3\xa9"},"count":1}],"totalCount":1}'
)


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """Change a good body in a few places."""
    body = bytearray(BODY)
    rng = random.Random(draw(st.integers(0, 2**32)))
    for _ in range(draw(st.integers(1, 6))):
        place = rng.randrange(len(body) + 1)
        match rng.randrange(4):
            case 0:
                body[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                body[place:place] = rng.choice(
                    [b"[", b"]", b"{", b'"', b"null", b"1e999", b"\\ud800", b"9" * 5000]
                )
            case 2:
                del body[place : place + rng.randrange(20)]
            case _:
                body[place:place] = body[place : place + rng.randrange(40)]
    return bytes(body)


@given(st.one_of(st.binary(max_size=200), mutations()))
@hypothesis_settings(
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_bytes_give_records_or_a_named_error(
    requests_mock: Mocker, body: bytes
) -> None:
    requests_mock.get(ORGANIZATION_URL, status_code=404)
    requests_mock.get(URL, content=body)
    try:
        found = list(STREAM.get_records(None))
    except (FatalAPIError, RecordError) as error:
        assert str(error)  # noqa: PT017, any other exception fails the test
        return
    assert all({"id", "timestamp"} <= record.keys() for record in found)


@pytest.mark.parametrize(
    "item",
    [
        b'{"timestamp":"2025-01-01T00:00:00Z","x":' + b"[" * 600 + b"]" * 600 + b"}",
        b'{"timestamp":"2025-01-01T00:00:00Z","x":' + b"[" * 9000 + b"]" * 9000 + b"}",
        b'{"timestamp":"2025-01-01T00:00:00Z","x":' + b"9" * 10_000 + b"}",
        b'{"timestamp":"2025-01-01T00:00:00Z","x":1e400}',
        b'{"timestamp":"2025-01-01T00:00:00Z","x":1e99999999999999999999}',
        b'{"timestamp":"2025-01-01T00:00:00Z","x":"\\ud800"}',
        b'{"timestamp":"2025-01-01T00:00:00Z","count":' + b"9" * 30 + b"}",
    ],
)
def test_strange_json_is_survived(requests_mock: Mocker, item: bytes) -> None:
    requests_mock.get(ORGANIZATION_URL, status_code=404)
    requests_mock.get(URL, content=b'{"items":[' + item + b'],"totalCount":1}')
    try:
        (record,) = STREAM.get_records(None)
    except (FatalAPIError, RecordError) as error:
        assert "cannot be read" in str(error) or "did not respond" in str(error)  # noqa: PT017
        return
    assert record["timestamp"] == "2025-01-01T00:00:00.000000Z"
