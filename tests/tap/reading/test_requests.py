"""Requests made ahead, with threads."""

import contextlib
import gc
import threading
import time
import weakref
from itertools import count

import pytest

from tap_akuity.api.errors import BadRequestError, PageTooBigError
from tap_akuity.api.query import Query
from tap_akuity.reading import requests as module
from tap_akuity.reading.ranges import Page
from tap_akuity.reading.requests import MAX_UNSENT, MAX_UNSENT_FIRST, Requests


def query(offset, limit=1):
    return Query(0, 10**9, offset, limit)


def of(fetch, concurrency=2):
    return Requests(fetch, lambda _, page: page, concurrency)


def test_what_is_needed_goes_before_what_will_be():
    began, free, asked = threading.Event(), threading.Event(), []

    def fetch(one):
        asked.append(one.offset)
        began.set()
        assert one.offset != 1 or free.wait(20)
        return Page([], one.offset)

    with of(fetch, 1) as requests:
        requests.begin(map(query, [1, 2, 3]))
        assert began.wait(20)
        needed = threading.Thread(target=requests.get, args=[query(9)])
        needed.start()
        while not any(call.is_urgent for call in list(requests._queue)):
            time.sleep(0.001)
        free.set()
        needed.join(20)
        assert requests.get(query(2)).total == 2
    assert asked[:2] == [1, 9]


def test_responses_that_nobody_takes_are_limited():
    done = threading.Semaphore(0)
    asked = count()

    def fetch(one):
        next(asked)
        done.release()
        return Page([], one.offset)

    with of(fetch, 3) as requests:
        requests.begin(map(query, range(20)))
        for _ in range(6):
            assert done.acquire(timeout=20)
        assert not done.acquire(timeout=0.05)
        requests.drop(map(query, range(5, 20)))
        assert [requests.get(query(n)).total for n in range(5)] == list(range(5))
    assert next(asked) <= 6 + 1


@pytest.mark.parametrize("is_needed", [True, False])
def test_the_first_error_that_ends_the_run_ends_it(monkeypatch, is_needed):
    """It does not wait for a request that is being retried."""
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.01)
    failed, forever = threading.Event(), threading.Event()
    asked = []

    def fetch(one):
        asked.append(one.offset)
        if one.offset == 1:
            failed.set()
            message = "no such key"
            raise OSError(message)
        forever.wait(20)

    with of(fetch) as requests:
        requests.begin(map(query, [0, 1, 2, 3]))
        assert failed.wait(20)
        with pytest.raises(OSError, match="no such key"):
            requests.get(query(0 if is_needed else 3))
        forever.set()
    assert sorted(asked) == [0, 1]


def test_a_rejected_query_ends_nothing_else():
    def fetch(one):
        if one.offset:
            return Page([], 7)
        message = "rejected"
        raise BadRequestError(message)

    with of(fetch) as requests:
        requests.begin([query(0), query(1)])
        with pytest.raises(BadRequestError):
            requests.get(query(0))
        assert requests.get(query(1)).total == 7


@pytest.mark.parametrize("first", [0, 10])
def test_events_that_are_too_big_are_limited(first):
    """More so if nothing else has come: a hostile server may send nothing else."""

    def fetch(one):
        if one.offset + one.limit <= first:
            return Page([], 1000)
        message = "too big"
        raise PageTooBigError(message)

    with of(fetch, 1) as requests:
        page = requests.get(query(0, first + MAX_UNSENT_FIRST))
        assert page.unsent == ("too big",) * MAX_UNSENT_FIRST
        most = MAX_UNSENT if first else MAX_UNSENT_FIRST
        with pytest.raises(PageTooBigError, match="too big"):
            requests.get(query(first, most + 1))


def test_an_error_keeps_nothing_of_its_callers():
    """Windows that are read again would add up to hundreds of megabytes."""

    class Window:
        pass

    def fetch(_):
        message = "no such offset"
        raise BadRequestError(message)

    def read(requests):
        window = Window()
        with contextlib.suppress(BadRequestError):
            requests.get(query(0))
        return weakref.ref(window)

    gc.disable()
    try:
        with of(fetch, 1) as requests:
            assert read(requests)() is None
    finally:
        gc.enable()
