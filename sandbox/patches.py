"""Values of `details.patch`: JSON text, from one line to several KB."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sandbox.vocabulary import REMARKS, SERVICES, TEAMS

if TYPE_CHECKING:
    from random import Random

PRETTY = 0.1
CONFIG_LINES = 200


def patch(rng: Random) -> str:
    """Return the change made by an update, as JSON text."""
    change = _KINDS[int(rng.random() * len(_KINDS))](rng)
    indent = 2 if rng.random() < PRETTY else None
    return json.dumps(change, ensure_ascii=False, indent=indent)


def _replicas(rng: Random) -> dict[str, Any]:
    return {"spec": {"replicas": int(rng.random() * 20)}}


def _image(rng: Random) -> dict[str, Any]:
    service = _pick(rng, SERVICES)
    digest = f"{rng.getrandbits(256):064x}"
    image = f"registry.northwind.example/{service}@sha256:{digest}"
    container = {"name": service, "image": image}
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


def _note(rng: Random) -> dict[str, Any]:
    notes = {"note": _pick(rng, REMARKS), "team": _pick(rng, TEAMS), "owner": None}
    return {"metadata": {"annotations": notes}}


def _configuration(rng: Random) -> dict[str, Any]:
    lines = [
        f'{_pick(rng, SERVICES)}.{n}: "{rng.getrandbits(64):016x}"'
        for n in range(1 + int(rng.random() * CONFIG_LINES))
    ]
    return {"data": {"config.yaml": "\n".join(lines), "note": _pick(rng, REMARKS)}}


def _pick(rng: Random, choices: tuple[str, ...]) -> str:
    return choices[int(rng.random() * len(choices))]


_KINDS = 6 * (_replicas, _image, _note) + (_configuration,)
