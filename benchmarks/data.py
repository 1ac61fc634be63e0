"""What the server holds: the same events in each run, whenever it is."""

from __future__ import annotations

from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.distributions import SECOND, instants
from sandbox.data import Dataset, Organization

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Item = dict[str, Any]

START_DATE = "2020-01-01T00:00:00Z"
END_DATE = "2026-01-01T00:00:00Z"
"""The range that the named distributions fill; the sandbox's own end with it."""

BOOKMARK = "2026-01-02T00:00:00Z"
"""So much later than the last event that no lookback reaches it."""

_SEED = 1


class Data(NamedTuple):
    """Events of an organization."""

    records: int
    distribution: str = "organization"
    """The sandbox's `organization` or `clustered`, or one of `distributions.NAMES`."""

    unknown: bool = False
    """Whether each event has a member that nobody knows."""

    patch_bytes: int = 0
    """The size of each event's patch, if it is not the sandbox's."""

    def items(self) -> Iterator[Item]:
        """Make the events, in the API's shape, oldest first."""
        rng = Random(_SEED)  # noqa: S311 - nothing secret
        for item in self._plain():
            if self.unknown:
                item["actor"] = {**(item["actor"] or {}), "device": "laptop"}
            if self.patch_bytes:
                patch = f"{rng.getrandbits(4 * self.patch_bytes):0{self.patch_bytes}x}"
                item["details"] = {**(item["details"] or {}), "patch": patch}
            yield item

    def _plain(self) -> Iterable[Item]:
        if self.distribution in {"organization", "clustered"}:
            return Dataset(
                self.records,
                _SEED,
                _date(END_DATE),
                distribution=self.distribution,  # type: ignore[arg-type]
            )
        start, end = (
            int(_date(text).timestamp()) * SECOND for text in (START_DATE, END_DATE)
        )
        organization = Organization(Random(_SEED))  # noqa: S311 - nothing secret
        moments = instants(self.distribution, self.records, start, end)
        return (organization.event(at, end) for at in moments)


def _date(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
