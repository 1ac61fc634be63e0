"""What the server holds: the same records in each run, whenever it is."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from sandbox.data import Dataset

if TYPE_CHECKING:
    from sandbox.instants import Distribution

START_DATE = "2020-01-01T00:00:00Z"
"""Long before the first record, as a careful user would have it."""

END_DATE = "2026-01-01T00:00:00Z"
"""All records are older."""

BOOKMARK = "2026-01-02T00:00:00Z"
"""So much later than the last record that no lookback reaches it."""

_SEED = 1


class Data(NamedTuple):
    """Records of an organization."""

    records: int
    distribution: Distribution

    @property
    def options(self) -> list[str]:
        """The sandbox's options for these records."""
        return [
            f"--records={self.records}",
            f"--distribution={self.distribution}",
            f"--seed={_SEED}",
            f"--until={END_DATE}",
        ]

    def dataset(self) -> Dataset:
        """Make the same records here."""
        until = datetime.strptime(END_DATE, "%Y-%m-%dT%H:%M:%S%z")
        return Dataset(
            records=self.records,
            seed=_SEED,
            until=until,
            distribution=self.distribution,
        )
