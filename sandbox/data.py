"""Generates a realistic organization: the same seed and options give the same bytes."""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from sandbox.instants import Distribution, instants
from sandbox.options import SIGNED, Checked
from sandbox.patches import patch
from sandbox.timestamps import DAY, HOUR, to_go
from sandbox.vocabulary import ACTION_TYPES, PHRASES, REMARKS, THINGS, Thing, Worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_T = TypeVar("_T")
Item = dict[str, Any]

DEFAULT_DAYS, CLUSTERED_DAYS = 90, 5 * 365 + 1

RARE = 0.005  # actor, object, details, object.id: null; lastOccurredTimestamp: ""
REPEATED = 0.06
PATCHED = 0.25
REMARKED = 0.08
BY_AGENTS = 0.05  # of the actions of people and API keys, through MCP

# Members that older versions of the API do not send.
NEWER = (
    ("actor", "origin"),
    ("object", "id", "namespace"),
    ("object", "parentId", "projectName"),
)
# Where twins differ, in rotation.
TWIN_PLACES = ((), ("actor",), ("object",), ("object", "id"), ("details",))

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Dataset(Checked):
    """The history to generate.

    Attributes:
        records: Number of events.
        seed: Seed of the events; the same seed and options give the same events.
        until: End of the history. Default: now.
        days: Length of the history. Default: 90, or five years if clustered.
        distribution: Over time: `organization`, with working hours and releases;
            `clustered`, in short, heavy bursts; `even`; `nights-and-weekends`, which
            are quiet; `bursts`; `growth`, exponential; `crowded`, half of the events
            in a fiftieth of the time; or `early-start`, nothing for years.
        twins: Number of events that have a twin: another event at the same instant
            that differs only in a member unknown to clients.
        unknown_members: Add members unknown to clients to each event.
        patch_bytes: Size of each event's patch. Default: realistic sizes.
    """

    records: int = 2000
    seed: int = field(default=0, metadata=SIGNED)
    until: datetime | None = None
    days: int | None = None
    distribution: Distribution = "organization"
    twins: int = 0
    unknown_members: bool = False
    patch_bytes: int | None = None

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: A number is out of range.
        """
        super().__post_init__()
        if self.twins > self.records:
            message = f"twins must be at most {self.records}, the number of records"
            raise ValueError(message)

    def __iter__(self) -> Iterator[Item]:
        """Yield items in the API's format, oldest first."""
        until = self.until or datetime.now(timezone.utc).replace(microsecond=0)
        end = (until - _EPOCH) // timedelta(microseconds=1) * 1000
        usual = CLUSTERED_DAYS if self.distribution == "clustered" else DEFAULT_DAYS
        start = end - (self.days or usual) * DAY
        rng = Random(self.seed)
        organization = Organization(rng)
        moments = instants(self.distribution, self.records, rng, start, end)
        for place, at in enumerate(moments):
            item = organization.event(at, end)
            if self.unknown_members:
                item["requestId"] = f"{at:x}-{place:x}"
                (item["object"] or item)["labels"] = {"number": place}
            if self.patch_bytes:
                bits = rng.getrandbits(4 * self.patch_bytes)
                details = item["details"] or {}
                item["details"] = {**details, "patch": f"{bits:0{self.patch_bytes}x}"}
            twin = place * self.twins // self.records
            if twin == (place + 1) * self.twins // self.records:
                yield item
            else:
                path = TWIN_PLACES[twin % len(TWIN_PLACES)]
                # Either only one twin has the member, or both have it.
                yield _planted(item, path, 1) if twin % 2 else item
                yield _planted(item, path, 2)


def older(item: Mapping[str, Any]) -> Item:
    """Return the item as older versions of the API send it."""
    for path in NEWER:
        item = _without(item, path)
    return dict(item)


def _without(item: Any, path: Sequence[str]) -> Any:  # noqa: ANN401 - JSON
    first, *rest = path
    if not isinstance(item, dict) or first not in item:
        return item
    if rest:
        return {**item, first: _without(item[first], rest)}
    return {name: value for name, value in item.items() if name != first}


def _planted(item: Item, path: tuple[str, ...], number: int) -> Item:
    """Return the item with one more member at the path, or at the top if it is null."""
    copied = deepcopy(item)
    owner: Any = copied
    for name in path:
        owner = owner and owner[name]
    (copied if owner is None else owner)["revision"] = {"number": number}
    return copied


class Organization:
    """Generates events, never the same one twice at the same instant."""

    def __init__(self, rng: Random) -> None:
        """Set up the generator with `rng` as its only source of randomness."""
        self._rng = rng
        # For members that were added later, so that a seed keeps its history.
        self._later = Random(copy(rng).getrandbits(64))
        self._at: int | None = None
        self._told: list[Item] = []

    def event(self, at: int, now: int) -> Item:
        """Return an event that happened at `at`, as known at `now`."""
        if at != self._at:
            self._at, self._told = at, []
        content = self._content()
        while (known := older(content)) in self._told:
            content = self._content()
        self._told.append(known)
        count, last = self._repeats(at, now)
        return {
            "timestamp": to_go(at),
            **content,
            "count": count,
            "lastOccurredTimestamp": "" if self._chance(RARE) else to_go(last),
        }

    def _content(self) -> Item:
        thing = self._pick(THINGS)
        action = self._pick(thing.actions)
        worker = self._pick(thing.workers)
        name = worker.id if thing.type == "member" else self._pick(thing.names)
        if thing.hash_digits:
            bits = self._rng.getrandbits(4 * thing.hash_digits)
            name = f"{name}.{bits:0{thing.hash_digits}x}"
        namespace = self._namespace(thing)
        return {
            "action": action,
            "actor": None if self._chance(RARE) else self._actor(worker),
            "object": None
            if self._chance(RARE)
            else {
                "type": thing.type,
                "id": None
                if self._chance(RARE)
                else {
                    "name": name,
                    "kind": thing.kind,
                    "group": thing.group,
                    "namespace": namespace,
                },
                "parentId": self._parent(thing, namespace),
            },
            "details": None
            if self._chance(RARE)
            else {
                "message": self._message(f"{thing.kind} {name}", action),
                "patch": patch(self._rng)
                if action == "updated" and self._chance(PATCHED)
                else "",
                "actionType": ACTION_TYPES.get(action, "UPDATE"),
            },
        }

    def _actor(self, worker: Worker) -> Item:
        ip = self._pick(worker.ips)
        actor = {"type": worker.type, "id": worker.id}
        if ip is not None:
            actor["ip"] = ip
        if worker.type != "system" and self._later.random() < BY_AGENTS:
            actor["origin"] = "mcp"
        return actor

    def _parent(self, thing: Thing, namespace: str) -> Item | None:
        if not thing.parents:
            return None
        application = self._pick(thing.applications) if thing.applications else ""
        return {
            "name": self._pick(thing.parents),
            "parentName": "",
            "applicationName": application,
            "projectName": namespace if thing.in_project else "",
        }

    def _namespace(self, thing: Thing) -> str:
        place = int(self._later.random() * len(thing.namespaces))
        return thing.namespaces[place] if thing.namespaces else ""

    def _message(self, what: str, action: str) -> str:
        text = f"{what} {PHRASES.get(action, action.replace('_', ' '))}"
        return f"{text}: {self._pick(REMARKS)}" if self._chance(REMARKED) else text

    def _repeats(self, at: int, now: int) -> tuple[int, int]:
        room = min(6 * HOUR, now - at - 1)
        if room <= 0 or not self._chance(REPEATED):
            return 1, at
        last = at + 1 + int(self._rng.random() * room)
        return 2 + int(self._rng.random() * 30), max(at + 1, last - last % 1000)

    def _chance(self, probability: float) -> bool:
        return self._rng.random() < probability

    def _pick(self, choices: Sequence[_T]) -> _T:
        return choices[int(self._rng.random() * len(choices))]
