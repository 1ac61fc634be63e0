"""Calls in daemon threads, which do not delay the end of the process."""

from __future__ import annotations

import contextlib
import threading
import weakref
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    _Call: TypeAlias = tuple[Future[Any], Callable[[], Any]]
    _Calls: TypeAlias = SimpleQueue[_Call | None]

_T = TypeVar("_T")


class DaemonPool:
    """A bounded number of daemon threads that run calls in the order submitted.

    `concurrent.futures.ThreadPoolExecutor` joins its threads when the interpreter
    exits, which a signal must not wait for. A thread starts when a call finds none
    idle, stays for later calls, and ends once the pool is closed or garbage.
    """

    def __init__(self, size: int) -> None:
        """Create the pool, without starting a thread.

        Args:
            size: The largest number of threads.
        """
        self._size = size
        self._started = 0
        self._calls: _Calls = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._close = weakref.finalize(self, _close, self._calls)
        self._close.atexit = False

    def submit(self, function: Callable[[], _T]) -> Future[_T]:
        """Run a call as soon as a thread is free.

        Only one thread may submit.

        Args:
            function: The call.

        Returns:
            Its future. `result(timeout)` abandons the call after the timeout;
            `cancel()` drops a call that has not started.
        """
        future: Future[_T] = Future()
        self._calls.put((future, function))
        if not self._idle.acquire(blocking=False) and self._started < self._size:
            self._started += 1
            threading.Thread(
                target=_work, args=(self._calls, self._idle), daemon=True
            ).start()
        return future

    def close(self) -> None:
        """Start no more calls; running ones are abandoned."""
        self._close()


def _work(calls: _Calls, idle: threading.Semaphore) -> None:
    while call := calls.get():
        future, function = call
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001, raised by `future.result`
                future.set_exception(error)
        # An idle thread must not keep objects of its last call alive.
        del call, future, function
        idle.release()
    calls.put(None)  # Ends the next thread.


def _close(calls: _Calls) -> None:
    with contextlib.suppress(Empty):
        while call := calls.get_nowait():
            call[0].cancel()
    calls.put(None)
