"""What is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks import programs
from benchmarks.data import Data

if TYPE_CHECKING:
    from benchmarks.programs import Program

NO_LATENCY = "no-latency"
LATENCY = "latency"
OFFSET_COST = "offset-cost"
OFFSET_COST_MORE = "offset-cost-more"
CLUSTERED = "clustered"
NOTHING_NEW = "nothing-new"
DUCKDB = "duckdb"

EIGHT_AT_A_TIME = programs.tap_akuity("tap-akuity, concurrency 8", concurrency=8)
ONE_AT_A_TIME = programs.tap_akuity("tap-akuity, concurrency 1", concurrency=1)

READERS = (
    programs.SDK_DEFAULT,
    programs.AIRBYTE,
    programs.DLT_EXTRACT,
    programs.REQUESTS_ORJSON,
)
"""What a user could pick instead, to read the endpoint."""


class Scenario(NamedTuple):
    """Programs that do the same job in turn."""

    name: str
    title: str
    data: Data
    ours: tuple[Program, ...]
    """The first of them is what the others are compared with."""

    peers: tuple[Program, ...] = ()
    page_size: int = 500
    latency: float = 0.0
    row_cost: float = 0.0
    resumed: bool = False
    rounds: int = 1
    peer_rounds: int | None = None
    """Fewer rounds for the peers, where they take long."""

    peer_limit: float | None = None
    """Seconds after which a peer is cut off."""

    @property
    def programs(self) -> tuple[Program, ...]:
        """All of them."""
        return self.ours + self.peers

    def quick(self) -> Scenario:
        """Make a small one, to see whether everything works."""
        return self._replace(
            data=self.data._replace(records=self.data.records // QUICKER),
            rounds=1,
            peer_rounds=1,
            peer_limit=self.peer_limit and self.peer_limit / QUICKER,
        )

    def with_rounds(self, rounds: int) -> Scenario:
        """Take another number of rounds for everything."""
        return self._replace(rounds=rounds, peer_rounds=rounds)


QUICKER = 10

SCENARIOS = (
    Scenario(
        NO_LATENCY,
        "No latency, page size 1,000",
        Data(100_000, "organization"),
        (programs.TAP_AKUITY,),
        READERS,
        page_size=1000,
        rounds=5,
    ),
    Scenario(
        LATENCY,
        "100 ms for each request, page size 500",
        Data(100_000, "organization"),
        (programs.TAP_AKUITY, EIGHT_AT_A_TIME, ONE_AT_A_TIME),
        READERS,
        latency=0.1,
        rounds=2,
    ),
    Scenario(
        OFFSET_COST,
        "100 ms for each request and 1 µs for each skipped row, page size 500",
        Data(100_000, "even"),
        (programs.TAP_AKUITY,),
        READERS,
        latency=0.1,
        row_cost=1e-6,
        rounds=3,
        peer_rounds=1,
    ),
    Scenario(
        OFFSET_COST_MORE,
        "100 ms for each request and 1 µs for each skipped row: ten times the records",
        Data(1_000_000, "even"),
        (programs.TAP_AKUITY,),
        READERS,
        latency=0.1,
        row_cost=1e-6,
        rounds=2,
        peer_rounds=1,
        peer_limit=30.0,
    ),
    Scenario(
        CLUSTERED,
        "Heavily clustered, no latency, page size 500",
        Data(1_000_000, "clustered"),
        (programs.TAP_AKUITY,),
    ),
    Scenario(
        NOTHING_NEW,
        "Nothing new: start-up",
        Data(1000, "organization"),
        (programs.TAP_AKUITY,),
        (programs.SDK_DEFAULT, programs.EMPTY_TAP, programs.TAP_VERSION),
        resumed=True,
        rounds=15,
    ),
    Scenario(
        DUCKDB,
        "End to end into DuckDB, no latency, page size 1,000",
        Data(100_000, "organization"),
        (programs.TAP_INTO_DUCKDB,),
        (
            programs.DLT_INTO_DUCKDB,
            programs.DLT_PARQUET_INTO_DUCKDB,
            programs.TARGET_DUCKDB,
        ),
        page_size=1000,
        rounds=3,
    ),
)
