import gc
import sys
import threading
import time
import weakref

import pytest

from tap_akuity.calls import DaemonPool


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_as_many_at_a_time_as_there_are_threads_and_no_more():
    pool = DaemonPool(3)
    go = threading.Event()
    futures = [pool.submit(go.wait) for _ in range(9)]
    wait_until(lambda: all(future.running() for future in futures[:3]))
    assert not any(future.running() for future in futures[3:])
    go.set()
    assert all(future.result(10) for future in futures)
    with pytest.raises(SystemExit):
        pool.submit(sys.exit).result()
    assert pool.submit(lambda: 6).result() == 6


def test_a_result_that_nobody_wants_any_more_is_garbage():
    class Page:
        pass

    pool = DaemonPool(1)
    page = weakref.ref(pool.submit(Page).result())
    wait_until(lambda: gc.collect() is not None and page() is None)


def test_an_idle_thread_takes_the_next_call_and_ends_with_the_pool():
    pool = DaemonPool(8)
    idle, threads = pool._idle, set()
    for _ in range(9):
        threads.add(pool.submit(threading.current_thread).result())
        wait_until(lambda: idle._value > 0)
    (thread,) = threads
    assert thread.is_alive()
    del pool
    wait_until(lambda: not thread.is_alive())


def test_a_closed_pool_begins_no_more_calls():
    pool = DaemonPool(1)
    go = threading.Event()
    first, second = pool.submit(go.wait), pool.submit(go.wait)
    wait_until(first.running)
    pool.close()
    go.set()
    assert first.result(10)
    assert second.cancelled()
