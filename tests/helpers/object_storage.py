"""Targets for S3, and a bucket of moto's server."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import subprocess
import threading
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree as ET

import duckdb
import requests

from sandbox.timestamps import SECOND
from tests.helpers.targets import (
    MICROSECOND,
    Warehouse,
    blanks_null,
    cut,
    instants,
)
from tests.helpers.truth import LEAVES, OBJECTS, TIMES, Row, find, flattened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOTO = ("moto[server]==5.2.5",)

_NAME = "audit"
_ADDRESS = re.compile(r"Running on (http://127\.0\.0\.1:\d+)")
_SECONDS = 30

_CREDENTIAL = "-/20250101/us-east-1/s3/aws4_request"
# The server verifies no signature, but shows nobody else what is private.
_OWNER = {"Authorization": f"AWS4-HMAC-SHA256 Credential={_CREDENTIAL}"}


class Bucket(NamedTuple):
    """A bucket."""

    url: str

    def objects(self, prefix: str) -> list[bytes]:
        """Give the objects whose keys begin like this, in the order they came."""
        listed = ET.fromstring(  # noqa: S314 - our own server's
            self._get("", {"list-type": "2", "prefix": prefix})
        )
        keys = [
            (entry.findtext("{*}LastModified"), entry.findtext("{*}Key"))
            for entry in listed.iterfind("{*}Contents")
        ]
        return [self._get(f"/{key}") for _, key in sorted(keys)]

    def _get(self, path: str, parameters: dict[str, str] | None = None) -> bytes:
        response = requests.get(
            f"{self.url}/{_NAME}{path}", parameters, headers=_OWNER, timeout=_SECONDS
        )
        response.raise_for_status()
        return response.content


@contextlib.contextmanager
def serve_bucket(commands: Path) -> Iterator[Bucket]:
    """Run a server for as long as the block takes.

    Args:
        commands: The folder with moto's commands.
    """
    with subprocess.Popen(
        [str(commands / "moto_server"), "-H", "127.0.0.1", "-p", "0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            match = next(filter(None, map(_ADDRESS.search, process.stderr)))
            requests.put(f"{match[1]}/{_NAME}", timeout=_SECONDS).raise_for_status()
            # Or the server would wait for somebody to read what it says.
            threading.Thread(target=list, args=(process.stderr,), daemon=True).start()
            yield Bucket(match[1])
        finally:
            process.kill()


class S3Jsonl(Warehouse):
    """Lines of JSON in S3; each run adds objects. Times are cut to microseconds."""

    requirements = ("plinxore-target-s3==0.1.7",)
    command = "target-s3"
    server = "s3"
    upserts = False
    format = "jsonl"

    def __init__(self, folder: Path, bucket: Bucket) -> None:
        super().__init__(folder)
        self._bucket = bucket

    def settings(self) -> dict[str, Any]:
        return {
            "format": {"format_type": self.format},
            "compression": "none",
            "prefix": self.folder.name,
            "cloud_provider": {
                "cloud_provider_type": "aws",
                "aws": {
                    "aws_access_key_id": "-",
                    "aws_secret_access_key": "-",
                    "aws_region": "us-east-1",
                    "aws_bucket": _NAME,
                    "aws_endpoint_override": self._bucket.url,
                },
            },
        }

    def rows(self) -> list[Row]:
        text = b"\n".join(self._bucket.objects(f"{self.folder.name}/")).decode()
        # Not `splitlines`, which also splits at what JSON leaves as it is.
        return [instants(json.loads(line)) for line in text.split("\n") if line]

    def stored(self, row: Row) -> Row:
        return cut(row)


class S3Parquet(S3Jsonl):
    """Parquet in S3. Times are cut to seconds.

    Objects are structures, without what the schema does not name.
    """

    format = "parquet"

    def rows(self) -> list[Row]:
        rows: list[Row] = []
        times = ", ".join(f"epoch_us({name}) AS {name}" for name in TIMES)
        path = self.folder / "object.parquet"
        for content in self._bucket.objects(f"{self.folder.name}/"):
            path.write_bytes(content)
            # From this folder, and named above.
            query = f"SELECT * REPLACE ({times}) FROM '{path}'"  # noqa: S608
            answer = duckdb.sql(query)
            rows += [
                dict(zip(answer.columns, row, strict=True)) for row in answer.fetchall()
            ]
        for row in rows:
            for name in TIMES:
                row[name] = None if row[name] is None else row[name] * MICROSECOND
        return rows

    def stored(self, row: Row) -> Row:
        return cut(row, SECOND) | {name: _structure(row, (name,)) for name in OBJECTS}


def _structure(row: Row, path: tuple[str, ...]) -> Row | None:
    """Give an object with all members that the schema names, and no other."""
    if find(row, path) is None:
        return None
    members: Row = {}
    for leaf in LEAVES.values():
        if leaf[: len(path)] == path:
            inner = (*path, leaf[len(path)])
            members[inner[-1]] = (
                find(row, inner) if inner == leaf else _structure(row, inner)
            )
    return members


class S3Csv(Warehouse):
    """CSV in S3, an object for each run. Only right if the tap flattens."""

    # No later Python than 3.10 is allowed, and none is needed.
    requirements = ("--ignore-requires-python", "pipelinewise-target-s3-csv==2.0.0")
    command = "target-s3-csv"
    server = "s3"
    upserts = False
    tap = {"flattening_enabled": True, "flattening_max_depth": 3}  # noqa: RUF012

    def __init__(self, folder: Path, bucket: Bucket) -> None:
        super().__init__(folder)
        self._bucket = bucket
        self._runs = 0

    def settings(self) -> dict[str, Any]:
        self._runs += 1
        return {
            "aws_access_key_id": "-",
            "aws_secret_access_key": "-",
            "aws_endpoint_url": self._bucket.url,
            "s3_bucket": _NAME,
            # Two runs in one second have one name, and the second replaces the first.
            "s3_key_prefix": f"{self.folder.name}/{self._runs}/",
        }

    def rows(self) -> list[Row]:
        rows: list[Row] = []
        for content in self._bucket.objects(f"{self.folder.name}/"):
            file = io.StringIO(content.decode(), newline="")
            for cells in csv.DictReader(file):
                assert len(cells) == len(set(cells)), "a column is there twice"
                row: Row = {name: text or None for name, text in cells.items()}
                rows.append(instants(row | {"count": int(row["count"])}))
        return rows

    def stored(self, row: Row) -> Row:
        return blanks_null(flattened(row))
