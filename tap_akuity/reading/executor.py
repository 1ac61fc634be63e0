"""Several requests at a time, for whatever asks and resumes with the outcomes."""

from __future__ import annotations

import heapq
import itertools
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tap_akuity.calls import DaemonPool

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future
    from typing import TypeAlias

    from typing_extensions import Self

    from tap_akuity.reading.asks import Ask, Outcome, Response

    Fetch: TypeAlias = Callable[[Ask], Callable[[], Response]]
    """Makes a request, and gives what decodes its response.

    Several threads fetch at a time. One decodes, so that the others are back at the
    network at once: in Python they would only wait for each other.
    """

_Y = TypeVar("_Y")
_R = TypeVar("_R")


class Task(Generic[_Y, _R]):
    """A generator that asks, and how far it is."""

    def __init__(
        self,
        steps: Generator[list[Ask] | _Y, Any, _R],
        ask: Callable[[Task[Any, Any], list[Ask]], None],
    ) -> None:
        """Begin, with nothing asked yet.

        Args:
            steps: Yields lists of what to ask, and is resumed with the outcomes in the
                same order. Anything else that it yields is a product, which is to be
                taken before it is resumed.
            ask: Asks for the task.
        """
        self.done = False
        self.product: _Y | None = None
        """What it gave and nobody has taken yet."""

        self._steps = steps
        self._ask = ask
        self._outcomes: list[Outcome | None] = []
        self._missing = 0
        self._result: _R | Exception

    def result(self) -> _R:
        """Give what the generator returned, once it is done.

        Raises:
            Exception: What it raised.
        """
        if isinstance(self._result, Exception):
            raise self._result
        return self._result

    def resume(self, outcomes: list[Outcome | None] | None = None) -> None:
        """Go on, until it asks, is done, or gives the next product."""
        self.product = None
        try:
            step = self._steps.send(outcomes)
        except StopIteration as stop:
            self.done, self._result = True, stop.value
        except Exception as error:  # noqa: BLE001, raised where the result is due
            self.done, self._result = True, error
        else:
            if isinstance(step, list):
                self._outcomes = [None] * len(step)
                self._missing = len(step)
                self._ask(self, step)
            else:
                self.product = step

    def take(self, place: int, outcome: Outcome) -> None:
        """Take one of the outcomes, and resume when it was the last."""
        self._outcomes[place] = outcome
        self._missing -= 1
        if not self._missing:
            self.resume(self._outcomes)


class Executor:
    """Asks for many tasks, and hands back the outcomes."""

    def __init__(self, fetch: Fetch, concurrency: int) -> None:
        """Begin, with no thread started yet.

        Args:
            fetch: Makes a request.
            concurrency: How many requests may be under way at a time.
        """
        self._fetch = fetch
        self._pool = DaemonPool(concurrency)
        # As many more may have been answered and not been decoded yet, as a response
        # takes several times the memory of its events.
        self._room = 2 * concurrency
        self._numbers = itertools.count()
        self._asked: list[tuple[bool, int, Task[Any, Any], int, Ask]] = []
        self._under_way: dict[
            Future[Callable[[], Response]], tuple[Task[Any, Any], int]
        ]
        self._under_way = {}
        self._answered: SimpleQueue[Future[Callable[[], Response]]] = SimpleQueue()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Begin no more requests; those under way are left to themselves."""
        self._pool.close()

    def start(
        self, steps: Generator[list[Ask] | _Y, Any, _R], *, urgent: bool = False
    ) -> Task[_Y, _R]:
        """Begin a task.

        Args:
            steps: See `Task`.
            urgent: Whether its requests go before those of other tasks.
        """

        def ask(task: Task[Any, Any], asks: list[Ask]) -> None:
            for place, one in enumerate(asks):
                entry = (not urgent, next(self._numbers), task, place, one)
                heapq.heappush(self._asked, entry)
            self._submit()

        task = Task(steps, ask)
        task.resume()
        return task

    def wait(self) -> None:
        """Wait for the next response, and hand it to its task."""
        future = self._answered.get()
        task, place = self._under_way.pop(future)
        outcome: Outcome
        try:
            outcome = future.result()()
        except Exception as error:  # noqa: BLE001, raised where the result is due
            outcome = error
        self._submit()
        task.take(place, outcome)

    def _submit(self) -> None:
        while self._asked and len(self._under_way) < self._room:
            _, _, task, place, ask = heapq.heappop(self._asked)
            future = self._pool.submit(partial(self._fetch, ask))
            self._under_way[future] = task, place
            future.add_done_callback(self._answered.put)
