"""Batch files: what is in them, where they are, and when."""

from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests
from moto.server import ThreadedMotoServer
from pyarrow import parquet
from singer_sdk.exceptions import ConfigurationError
from singer_sdk.helpers._batch import BatchConfig
from upath import UPath

from sandbox.data import Dataset
from sandbox.server import Sandbox
from tap_akuity.output.batches import batches
from tests.helpers.running import config_for, records, sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.helpers.running import Message

LINES = [b'{"a":%d}' % number for number in range(10)]


def config(
    root: Path, size: Any = 4, kind: str = "jsonl", compression: str | None = "gzip"
) -> BatchConfig:
    return BatchConfig.from_dict(
        {
            "encoding": {"format": kind, "compression": compression},
            "storage": {"root": root.as_uri(), "prefix": "ours-"},
            "batch_size": size,
        }
    )


def path_of(manifest: list[str]) -> Path:
    (url,) = manifest
    return Path(urlsplit(url).path)


def test_each_file_has_as_many_records_as_a_batch(tmp_path: Path) -> None:
    manifests = list(batches("t", "s", config(tmp_path), iter(LINES)))
    found = [gzip.decompress(path_of(one).read_bytes()) for one in manifests]
    assert found == [
        b"".join(line + b"\n" for line in LINES[start : start + 4])
        for start in (0, 4, 8)
    ]
    names = [path_of(one).name for one in manifests]
    assert all(name.startswith("ours-t--s-") for name in names)
    assert [name.split("-")[-1] for name in names] == [
        "1.json.gz",
        "2.json.gz",
        "3.json.gz",
    ]


@pytest.mark.parametrize("compression", ["none", None])
def test_what_is_not_to_be_compressed_is_not(
    tmp_path: Path, compression: str | None
) -> None:
    batch_config = config(tmp_path, 10, compression=compression)
    (manifest,) = batches("t", "s", batch_config, iter(LINES))
    assert path_of(manifest).read_bytes().splitlines() == LINES
    assert path_of(manifest).suffix == ".json"


def test_nothing_is_written_of_nothing(tmp_path: Path) -> None:
    assert list(batches("t", "s", config(tmp_path), iter([]))) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_no_record_is_taken_before_its_batch(tmp_path: Path, kind: str) -> None:
    taken = 0

    def source() -> Iterator[bytes]:
        nonlocal taken
        for line in LINES:
            taken += 1
            yield line

    made = batches("t", "s", config(tmp_path, kind=kind), source())
    counts = [taken for _ in made]
    # The state that follows a batch covers no record that is not in a file.
    assert counts == [4, 8, 10]


def test_a_file_is_there_when_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "ours-not-really.json.gz").write_bytes(b"of others")

    def source() -> Iterator[bytes]:
        yield from LINES[:6]
        assert len(list(tmp_path.iterdir())) == 2
        raise RuntimeError

    with pytest.raises(RuntimeError):
        list(batches("t", "s", config(tmp_path), source()))
    assert len(list(tmp_path.iterdir())) == 2
    assert (tmp_path / "ours-not-really.json.gz").read_bytes() == b"of others"


def test_lines_are_lines_for_every_reader(tmp_path: Path) -> None:
    text = "a\u2028b\u2029c\x85d\u2014é"
    line = json.dumps({"text": text}, ensure_ascii=False).encode()
    (manifest,) = batches("t", "s", config(tmp_path), iter([line]))
    (found,) = gzip.decompress(path_of(manifest).read_bytes()).decode().splitlines()
    assert json.loads(found) == {"text": text}


@pytest.mark.parametrize("size", [0, -1, "many", 1.5])
def test_a_size_that_is_none_is_refused(tmp_path: Path, size: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"`batch_config\.batch_size` must be"):
        list(batches("t", "s", config(tmp_path, size), iter(LINES)))


def test_parquet_has_every_member_of_every_record(tmp_path: Path) -> None:
    lines = [b'{"a":1}', b'{"a":2,"b":{"c":null}}', b'{"b":{"d":"x"},"e":0.10}']
    batch_config = config(tmp_path, 10, "parquet")
    (manifest,) = batches("t", "s", batch_config, iter(lines))
    rows = parquet.read_table(path_of(manifest)).to_pylist()
    found = [
        {name: value for name, value in row.items() if value is not None}
        for row in rows
    ]
    assert [row.get("a") for row in found] == [1, 2, None]
    assert found[2]["b"]["d"] == "x"
    assert str(found[2]["e"]) == "0.10"


def test_parquet_needs_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"install `tap-akuity\[parquet\]`"):
        list(batches("t", "s", config(tmp_path, kind="parquet"), iter(LINES)))


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Give the address of an S3 server."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def batch_urls(messages: list[Message]) -> list[str]:
    return [
        url
        for message in messages
        if message["type"] == "BATCH"
        for url in message["manifest"]
    ]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_batches_in_s3(s3: str, kind: str) -> None:
    access: dict[str, Any] = {
        "endpoint_url": s3,
        "key": "k",
        "secret": "s",
        "client_kwargs": {"region_name": "us-east-1"},
    }
    root = f"s3://bucket-of-{kind}/folder"
    requests.put(f"{s3}/bucket-of-{kind}", timeout=10).raise_for_status()
    others = UPath(root, **access) / "of-others.json"
    others.write_text("{}")
    batch_config = {
        "encoding": {"format": kind, "compression": "gzip"},
        "storage": {"root": root, "params": access},
        "batch_size": 300,
    }
    with Sandbox(Dataset(records=700)) as sandbox:
        messages = sync(config_for(sandbox, batch_config=batch_config))
        plain = records(sync(config_for(sandbox)))
    found: list[dict[str, Any]] = []
    urls = batch_urls(messages)
    assert len(urls) == 3
    for url in urls:
        path = UPath(url, **access)
        if kind == "jsonl":
            lines = gzip.decompress(path.read_bytes()).splitlines()
            found += [json.loads(line) for line in lines]
        else:
            with path.open("rb") as file:
                found += parquet.read_table(file).to_pylist()
    assert [one["id"] for one in found] == [one["id"] for one in plain]
    if kind == "jsonl":
        assert found == plain
    assert others.read_text() == "{}"
    assert len(list(UPath(root, **access).iterdir())) == 4
