"""Targets for S3, and a bucket of moto's server."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import boto3  # type: ignore[import-untyped]
import duckdb
from moto.server import ThreadedMotoServer

from sandbox.timestamps import SECOND
from sandbox.truth import Row, flattened
from scripts.warehouse import rows_of
from tests.helpers.targets import Warehouse, from_csv, from_json

_NAME = "audit"
_REGION = "us-east-1"


class Bucket(NamedTuple):
    """A bucket."""

    url: str
    client: Any

    def objects(self, prefix: str) -> list[bytes]:
        """Return the objects with this prefix, in the order they were written."""
        listed = self.client.list_objects_v2(Bucket=_NAME, Prefix=prefix)["Contents"]
        listed.sort(key=lambda entry: (entry["LastModified"], entry["Key"]))
        found = [self.client.get_object(Bucket=_NAME, Key=e["Key"]) for e in listed]
        return [each["Body"].read() for each in found]


@contextlib.contextmanager
def serve_bucket() -> Iterator[Bucket]:
    """Run a server for the block."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name=_REGION,
        aws_access_key_id="-",
        aws_secret_access_key="-",
    )
    client.create_bucket(Bucket=_NAME)
    try:
        yield Bucket(url, client)
    finally:
        server.stop()


class _S3(Warehouse):
    server = "s3"
    upserts = False

    def _objects(self) -> list[bytes]:
        return self._server.objects(f"{self._name}/")


class S3Jsonl(_S3):
    """Lines of JSON in S3; each run adds objects."""

    command = "target-s3"
    format = "jsonl"

    def settings(self) -> dict[str, Any]:
        return {
            "format": {"format_type": self.format},
            "compression": "none",
            "prefix": self._name,
            "cloud_provider": {
                "cloud_provider_type": "aws",
                "aws": {
                    "aws_access_key_id": "-",
                    "aws_secret_access_key": "-",
                    "aws_region": _REGION,
                    "aws_bucket": _NAME,
                    "aws_endpoint_override": self._server.url,
                },
            },
        }

    def rows(self) -> list[Row]:
        return from_json(b"\n".join(self._objects()).decode())


class S3Parquet(S3Jsonl):
    """Parquet in S3. Objects are structures, whose missing members are null."""

    format = "parquet"
    unit = SECOND

    def rows(self) -> list[Row]:
        rows: list[Row] = []
        path = self.folder / "object.parquet"
        for content in self._objects():
            path.write_bytes(content)
            rows += map(_pruned, rows_of(duckdb, f"'{path}'"))
        return rows

    def stored(self, row: Row) -> Row:
        return _pruned(super().stored(row))


def _pruned(value: Any) -> Any:
    """Leave out null members."""
    if not isinstance(value, dict):
        return value
    return {name: _pruned(one) for name, one in value.items() if one is not None}


class S3Csv(_S3):
    """CSV in S3, an object for each run. Only right if the tap flattens."""

    # No later Python than 3.10 is allowed, and none is needed.
    options = ("--ignore-requires-python",)
    command = "target-s3-csv"
    unit = 1
    blanks = False

    @property
    def tap(self) -> dict[str, Any]:
        return {"flattening_enabled": True, "flattening_max_depth": 3}

    def settings(self) -> dict[str, Any]:
        return {
            "aws_access_key_id": "-",
            "aws_secret_access_key": "-",
            "aws_endpoint_url": self._server.url,
            "s3_bucket": _NAME,
            # Two runs in one second have one name, and the second replaces the first.
            "s3_key_prefix": f"{self._name}/{time.time_ns()}/",
        }

    def rows(self) -> list[Row]:
        return from_csv(self._objects())

    def stored(self, row: Row) -> Row:
        return super().stored(flattened(row))
