"""What the network and the server can do to a sync: the matrix of faults."""

import base64
import functools
import logging
import traceback
from collections import Counter

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from singer_sdk.exceptions import FatalAPIError

from sandbox.data import Dataset
from sandbox.faults import KINDS, Faults, Plan
from sandbox.server import Sandbox
from tap_akuity.reading.limits import Limits
from tap_akuity.records.event import RecordError
from tests.helpers.clients import ORGANIZATION_URL, URL, stream_of
from tests.helpers.events import ids
from tests.helpers.running import config_for, records, stats, sync

DATA = list(Dataset(records=3_000))
FATAL = {"400", "401", "403", "404", "501", "escape-message", "redirect"}
NOT_A_PAGE = {"huge-number", "items-missing", "items-null", "items-object"}
NOT_A_PAGE |= {"total-missing", "total-string"}
SLOW = {"hang", "trickle"}
HUGE = {"gzip-bomb", "endless-body"}  # See test_hostile.py.
PASSING = set(KINDS) - FATAL - NOT_A_PAGE - SLOW - HUGE

pytestmark = pytest.mark.usefixtures("hasty")


@pytest.fixture(scope="module")
def served():
    with Sandbox(DATA) as sandbox:
        yield sandbox


def inflict(sandbox, *kinds, **plan):
    sandbox.state.faults = Faults(Plan(kinds=kinds, retry_after="0", **plan))
    sandbox.state.stats.reset()


# test_client.py has every status.
@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind not in HUGE and not kind.isdecimal()]
)
def test_what_does_not_pass_ends_in_one_sentence_without_the_key(served, caplog, kind):
    caplog.set_level(logging.DEBUG)
    inflict(served, kind)
    seconds = 0.1 if kind in SLOW else 30
    with pytest.raises(FatalAPIError) as caught:
        sync(config_for(served, max_retries=2, request_timeout_seconds=seconds))
    assert str(caught.value).isprintable()
    attempts = 1 if kind in FATAL else 2 if kind in NOT_A_PAGE else 3
    suffix = f" Attempts: {attempts}." if attempts > 1 else ")."
    assert str(caught.value).endswith(suffix)
    key = (served.api_key_id, served.api_key_secret)
    text = caplog.text + "".join(traceback.format_exception(caught.value))
    assert "urllib3" in text
    for secret in (*key, base64.b64encode(":".join(key).encode()).decode()):
        assert secret not in text


@pytest.mark.parametrize("kind", sorted(SLOW))
def test_what_takes_too_long_can_pass(served, kind):
    inflict(served, kind, times=2)
    settings = {"page_size": 1000, "max_retries": 9, "request_timeout_seconds": 0.3}
    emitted = records(sync(config_for(served, **settings)))
    assert Counter(r["id"] for r in emitted) == Counter(ids(DATA))
    assert stats(served)["faults"] == {kind: 2}


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_third_of_all_requests_fails_in_mixed_ways(served, monkeypatch, concurrency):
    small_windows = functools.partial(Limits, max_events=500)
    monkeypatch.setattr("tap_akuity.streams.Limits", small_windows)
    inflict(served, *sorted(PASSING), rate=0.3, seed=concurrency)
    settings = {"page_size": 20, "max_retries": 12, "concurrency": concurrency}
    emitted = records(sync(config_for(served, **settings)))
    assert Counter(r["id"] for r in emitted) == Counter(ids(DATA))
    times = [record["timestamp"] for record in emitted]
    assert times == sorted(times)
    faults = stats(served)["faults"]
    assert sum(faults.values()) > 50
    assert len(faults) > 20


STREAM = stream_of(start_date="2020-01-01", end_date="2026-01-01")
BODY = (
    b'{"items":[{"timestamp":"2025-11-21 16:26:40.1 +0000 UTC","action":"a",'
    b'"actor":{"id":"\xc3\xa9"},"count":1}],"totalCount":1}'
)
STRANGE = [b"[", b"]", b"{", b'"', b"null", b"1e999", b"\\ud800", b"9" * 5000, BODY]


CHANGES = st.tuples(
    st.integers(0, len(BODY)),
    st.integers(0, 20),
    st.sampled_from(STRANGE) | st.binary(max_size=1),
).map(lambda change: BODY[: change[0]] + change[2] + BODY[change[0] + change[1] :])


def with_member(value):
    return BODY.replace(b'"count":1', b'"count":1,"x":' + value)


@given(st.binary(max_size=200) | CHANGES)
@example(with_member(b"[" * 600 + b"]" * 600))
@example(with_member(b"[" * 9000 + b"]" * 9000))
@example(with_member(b"9" * 10_000))
@example(with_member(b"1e99999999999999999999"))
@example(with_member(b'"\\ud800"'))
@example(with_member(b'0,"count":' + b"9" * 30))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_records_or_a_named_error(requests_mock, body):
    requests_mock.get(ORGANIZATION_URL, status_code=404)
    requests_mock.get(URL, content=body)
    try:
        found = list(STREAM.get_records(None))
    except (FatalAPIError, RecordError) as error:
        assert "cannot be read" in str(error) or "did not respond" in str(error)  # noqa: PT017
        return
    assert all({"id", "timestamp"} <= record.keys() for record in found)
