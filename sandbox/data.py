"""Generates a realistic organization: the same seed and options give the same bytes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeVar

from sandbox.instants import Distribution, instants
from sandbox.timestamps import DAY, HOUR, SECOND, to_go
from sandbox.vocabulary import THINGS, WORDS, Thing, Worker

_T = TypeVar("_T")
Item = dict[str, Any]

RARE = 0.005  # actor, object, details, object.id: null; lastOccurredTimestamp: ""
REPEATED = 0.06
PATCHED = 0.25
PRETTY = 0.1  # of the patches
CONFIG_LINES = 200
REMARKED = 0.08
BY_AGENTS = 0.05  # of the actions of people and API keys, through MCP

# Members that older versions of the API do not send.
NEWER = {"origin", "namespace", "projectName"}


@dataclass(frozen=True)
class Dataset:
    """The history to generate.

    Attributes:
        records: Number of events.
        seed: Seed of the events; the same seed and options give the same events.
        until: End of the history. Default: now.
        days: Length of the history.
        distribution: Over time: `organization`, with working hours and releases;
            `even`; `bursts`; `growth`; `crowded`, half of the events in a fiftieth of
            the time; or `clustered`, thousands of events within a second.
    """

    records: int = 2000
    seed: int = 0
    until: datetime | None = None
    days: int = 90
    distribution: Distribution = "organization"

    def __iter__(self) -> Iterator[Item]:
        """Yield items in the API's format, oldest first."""
        until = self.until or datetime.now(UTC)
        end = int(until.timestamp()) * SECOND
        start = end - self.days * DAY
        rng = Random(self.seed)
        organization = Organization(rng)
        for at in instants(self.distribution, self.records, rng, start, end):
            yield organization.event(at, end)


def older(item: Mapping[str, Any]) -> Item:
    """Return the item as older versions of the API send it."""
    return {
        name: older(value) if isinstance(value, dict) else value
        for name, value in item.items()
        if name not in NEWER
    }


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
        action = self._pick(thing["actions"])
        worker = self._pick(thing["workers"])
        name = worker.id if thing["type"] == "member" else self._pick(thing["names"])
        if digits := int(thing["hash_digits"] or 0):
            name = f"{name}.{self._rng.getrandbits(4 * digits):0{digits}x}"
        place = int(self._later.random() * len(thing["namespaces"]))
        identity = {
            "name": name,
            "kind": thing["kind"],
            "group": thing["group"],
            "namespace": thing["namespaces"][place] if thing["namespaces"] else "",
        }
        what = f"{identity['kind']} {name}"
        return {
            "action": action,
            "actor": None if self._chance(RARE) else self._actor(worker),
            "object": None if self._chance(RARE) else self._object(thing, identity),
            "details": None if self._chance(RARE) else self._details(what, action),
        }

    def _actor(self, worker: Worker) -> Item:
        actor = {"type": worker.type, "id": worker.id}
        if (ip := self._pick(worker.ips)) is not None:
            actor["ip"] = ip
        if worker.type != "system" and self._later.random() < BY_AGENTS:
            actor["origin"] = "mcp"
        return actor

    def _object(self, thing: Thing, identity: Item) -> Item:
        found = {
            "type": thing["type"],
            "id": None if self._chance(RARE) else identity,
            "parentId": None,
        }
        if thing["parents"]:
            applications = thing["applications"]
            application = self._pick(applications) if applications else ""
            found["parentId"] = {
                "name": self._pick(thing["parents"]),
                "parentName": "",
                "applicationName": application,
                "projectName": identity["namespace"] if thing["in_project"] else "",
            }
        return found

    def _details(self, what: str, action: str) -> Item:
        phrase = WORDS["phrases"].get(action, action.replace("_", " "))
        message = f"{what} {phrase}"
        if self._chance(REMARKED):
            message += f": {self._pick(WORDS['remarks'])}"
        is_patched = action == "updated" and self._chance(PATCHED)
        return {
            "message": message,
            "patch": self._patch() if is_patched else "",
            "actionType": WORDS["action_types"].get(action, "UPDATE"),
        }

    def _patch(self) -> str:
        """Return the change made by an update: JSON text, from one line to many."""
        kinds = 6 * (self._replicas, self._image, self._note) + (self._configuration,)
        change = self._pick(kinds)()
        indent = 2 if self._chance(PRETTY) else None
        return json.dumps(change, ensure_ascii=False, indent=indent)

    def _replicas(self) -> Item:
        return {"spec": {"replicas": int(self._rng.random() * 20)}}

    def _image(self) -> Item:
        service = self._pick(WORDS["services"])
        digest = f"{self._rng.getrandbits(256):064x}"
        image = f"registry.northwind.example/{service}@sha256:{digest}"
        container = {"name": service, "image": image}
        return {"spec": {"template": {"spec": {"containers": [container]}}}}

    def _note(self) -> Item:
        note, team = self._pick(WORDS["remarks"]), self._pick(WORDS["teams"])
        annotations = {"note": note, "team": team, "owner": None}
        return {"metadata": {"annotations": annotations}}

    def _configuration(self) -> Item:
        services = WORDS["services"]
        lines = [
            f'{self._pick(services)}.{n}: "{self._rng.getrandbits(64):016x}"'
            for n in range(1 + int(self._rng.random() * CONFIG_LINES))
        ]
        text = "\n".join(lines)
        return {"data": {"config.yaml": text, "note": self._pick(WORDS["remarks"])}}

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
