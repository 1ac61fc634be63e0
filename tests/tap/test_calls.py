from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import TimeoutError as CallTimeoutError
from typing import Any

import pytest

from tap_akuity.calls import DaemonPool


def test_a_call_gives_its_result_or_raises_its_error() -> None:
    pool = DaemonPool(2)
    assert pool.submit(lambda: 5).result() == 5
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 // 0).result()
    with pytest.raises(SystemExit):
        pool.submit(sys.exit).result()
    assert pool.submit(lambda: 6).result() == 6


def test_as_many_at_a_time_as_there_are_threads_and_no_more() -> None:
    pool = DaemonPool(3)
    go, begun = threading.Event(), threading.Semaphore(0)

    def call() -> int:
        begun.release()
        go.wait()
        return threading.get_ident()

    futures = [pool.submit(call) for _ in range(9)]
    for _ in range(3):
        assert begun.acquire(timeout=10)
    assert not begun.acquire(timeout=0.05)
    assert [future.running() for future in futures] == [True] * 3 + [False] * 6
    go.set()
    assert len({future.result(10) for future in futures}) <= 3


def test_an_idle_thread_takes_the_next_call() -> None:
    pool = DaemonPool(8)
    threads = set()
    for _ in range(20):
        threads.add(pool.submit(threading.get_ident).result())
        wait_until(lambda: pool._idle._value > 0)
    assert len(threads) == 1


def test_a_timeout_leaves_the_call_to_itself() -> None:
    pool = DaemonPool(1)
    go = threading.Event()
    future = pool.submit(go.wait)
    with pytest.raises(CallTimeoutError):
        future.result(0.01)
    waiting = pool.submit(lambda: 1)
    assert waiting.cancel()
    go.set()
    assert future.result(10) is True
    assert pool.submit(lambda: 2).result(10) == 2


def test_a_result_that_nobody_wants_any_more_is_garbage() -> None:
    class Page:
        pass

    pool = DaemonPool(1)
    page = weakref.ref(pool.submit(Page).result())
    wait_until(lambda: gc.collect() is not None and page() is None)


def test_threads_end_with_the_pool() -> None:
    pool = DaemonPool(4)
    go = threading.Event()

    def call() -> threading.Thread:
        go.wait()
        return threading.current_thread()

    futures = [pool.submit(call) for _ in range(4)]
    go.set()
    threads = [future.result(10) for future in futures]
    assert all(thread.is_alive() for thread in threads)
    del pool
    wait_until(lambda: not any(thread.is_alive() for thread in threads))


def test_a_closed_pool_begins_no_more_calls() -> None:
    pool = DaemonPool(1)
    go, begun = threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        go.wait()

    first, second = pool.submit(call), pool.submit(call)
    assert begun.wait(10)
    pool.close()
    go.set()
    assert first.result(10) is None
    assert second.cancelled()


def test_the_process_ends_while_a_call_runs() -> None:
    program = (
        "import threading, sys; from tap_akuity.calls import DaemonPool\n"
        "pool = DaemonPool(1); go = threading.Event()\n"
        "pool.submit(lambda: (go.set(), threading.Event().wait()))\n"
        "go.wait(); sys.exit(7)"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, timeout=20)
    assert ended.returncode == 7


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
