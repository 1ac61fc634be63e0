"""Runs several requests at a time for tasks that yield queries."""

from __future__ import annotations

import heapq
import itertools
from functools import partial
from math import inf
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tap_akuity.calls import DaemonPool
from tap_akuity.reading.ranges import OverloadError, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future
    from typing import Self, TypeAlias

    from tap_akuity.reading.ranges import Ask, Outcome, Response

    Fetch: TypeAlias = Callable[[Ask], Callable[[], Response]]
    """Makes a request, and returns a function that decodes its response.

    Several threads fetch at a time. Only one decodes, so that the others return to the
    network at once: with the GIL, decoding threads would wait for each other.
    """

_Y = TypeVar("_Y")
_R = TypeVar("_R")


class Task(Generic[_Y, _R]):
    """A generator that yields queries, and its progress."""

    def __init__(
        self,
        steps: Generator[list[Ask] | _Y, Any, _R],
        ask: Callable[[Task[_Y, _R], list[Ask]], None],
    ) -> None:
        """Create a task, without a query.

        Args:
            steps: Yields lists of queries, and is resumed with their outcomes in the
                same order. Anything else that it yields is a product, which must be
                taken before it is resumed.
            ask: Submits the queries of the task.
        """
        self.done = False
        self.product: _Y | None = None
        """The product that has not been taken yet."""

        self._steps = steps
        self._ask = ask
        self._result: _R | Exception

    def result(self) -> _R:
        """Return the result of the generator, once it is done.

        Raises:
            Exception: What it raised.
        """
        result = self._result
        if not isinstance(result, Exception):
            return result
        try:
            raise result
        finally:
            # Break the reference cycle, or its memory stays until the next collection.
            del self._result, result

    def resume(self, outcomes: list[Outcome] | None = None) -> None:
        """Continue until it yields queries, is done, or yields a product."""
        self.product = None
        try:
            step = self._steps.send(outcomes)
        except StopIteration as stop:
            self.done, self._result = True, stop.value
        except Exception as error:  # noqa: BLE001, raised where the result is due
            self.done, self._result = True, error
        else:
            if isinstance(step, list):
                self._ask(self, step)
            else:
                self.product = step


class _Batch:
    """The queries of a task at one time, and their outcomes."""

    def __init__(self, task: Task[Any, Any], count: int, max_bytes: float) -> None:
        self.given_up = False
        self._task = task
        self._outcomes: list[Outcome] = [OverloadError()] * count
        self._missing = count
        self._room = max_bytes

    def take(self, place: int, outcome: Outcome) -> None:
        """Take one outcome; resume the task after the last, or beyond the limit.

        Outstanding queries are then abandoned.
        """
        if self.given_up:
            return
        self._outcomes[place] = outcome
        self._missing -= 1
        if isinstance(outcome, Page):
            self._room -= outcome.size
        if not self._missing or self._room < 0:
            self.given_up = True
            self._task.resume(self._outcomes)


class Executor:
    """Runs the queries of many tasks, and returns the outcomes to them."""

    def __init__(self, fetch: Fetch, concurrency: int) -> None:
        """Create an executor, without starting a thread.

        Args:
            fetch: Makes a request.
            concurrency: How many requests may be in progress at a time.
        """
        self._fetch = fetch
        self._pool = DaemonPool(concurrency)
        # As many responses again may wait to be decoded. Not more: a response takes
        # several times the memory of its events.
        self._room = 2 * concurrency
        self._numbers = itertools.count()
        self._asked: list[tuple[bool, int, _Batch, int, Ask]] = []
        self._under_way: dict[Future[Callable[[], Response]], tuple[_Batch, int]] = {}
        self._answered: SimpleQueue[Future[Callable[[], Response]]] = SimpleQueue()

    def __enter__(self) -> Self:
        """Return the executor."""
        return self

    def __exit__(self, *_: object) -> None:
        """Start no more requests; running ones are abandoned."""
        self._pool.close()

    def start(
        self,
        steps: Generator[list[Ask] | _Y, Any, _R],
        *,
        urgent: bool = False,
        max_bytes: float = inf,
    ) -> Task[_Y, _R]:
        """Start a task.

        Args:
            steps: See `Task`.
            urgent: Whether its requests take precedence over those of other tasks.
            max_bytes: How large the records of the queries of one step may be. Beyond
                that, the outcome of the remaining ones is `OverloadError`.
        """

        def ask(task: Task[_Y, _R], asks: list[Ask]) -> None:
            batch = _Batch(task, len(asks), max_bytes)
            for place, one in enumerate(asks):
                entry = (not urgent, next(self._numbers), batch, place, one)
                heapq.heappush(self._asked, entry)
            self._submit()

        task = Task(steps, ask)
        task.resume()
        return task

    def wait(self) -> None:
        """Wait for the next response, and pass it to its task."""
        future = self._answered.get()
        batch, place = self._under_way.pop(future)
        outcome: Outcome
        try:
            outcome = OverloadError() if batch.given_up else future.result()()
        except Exception as error:  # noqa: BLE001, raised where the result is due
            outcome = error
        self._submit()
        batch.take(place, outcome)

    def _submit(self) -> None:
        while self._asked and len(self._under_way) < self._room:
            _, _, batch, place, ask = heapq.heappop(self._asked)
            if not batch.given_up:
                future = self._pool.submit(partial(self._fetch, ask))
                self._under_way[future] = batch, place
                future.add_done_callback(self._answered.put)
