"""Batch files: what is in them, where they are, and when."""

import gzip
import importlib.util
import json
from operator import length_hint
from pathlib import Path
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

RECORDS = [{"a": number, "text": "a\u2028b\u2029c\x85dé"} for number in range(10)]
LINES = [json.dumps(record, ensure_ascii=False).encode() for record in RECORDS]


def written(root, lines=LINES, size=4, kind="jsonl", compression="gzip"):
    config = {
        "encoding": {"format": kind, "compression": compression},
        "storage": {"root": root.as_uri(), "prefix": "ours-"},
        "batch_size": size,
    }
    for (url,) in batches("t", "s", BatchConfig.from_dict(config), iter(lines)):
        yield Path(urlsplit(url).path)


@pytest.mark.parametrize("compression", ["gzip", "none", None])
def test_each_file_has_as_many_records_as_a_batch(tmp_path, compression):
    assert list(written(tmp_path, [])) == list(tmp_path.iterdir()) == []
    paths = list(written(tmp_path, compression=compression))
    unpack, suffix = (bytes, "") if compression != "gzip" else (gzip.decompress, ".gz")
    texts = [unpack(path.read_bytes()).decode() for path in paths]
    assert all(text.endswith("\n") for text in texts)
    # Lines for every reader.
    found = [[json.loads(line) for line in text.splitlines()] for text in texts]
    assert found == [RECORDS[:4], RECORDS[4:8], RECORDS[8:]]
    names = [path.name.rpartition("-") for path in paths]
    assert names[0][0].startswith("ours-t--s-")
    assert [name[2] for name in names] == [f"{n}.json{suffix}" for n in (1, 2, 3)]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_no_record_is_taken_before_its_batch(tmp_path, kind):
    left = iter(LINES)
    # The state that follows a batch covers no record that is not in a file.
    rest = [length_hint(left) for _ in written(tmp_path, left, kind=kind)]
    assert rest == [6, 2, 0]


def test_a_file_is_there_when_it_is_whole(tmp_path):
    (tmp_path / "ours-not-really.json.gz").write_bytes(b"of others")

    def source():
        yield from LINES[:6]
        assert len(list(tmp_path.iterdir())) == 2
        raise RuntimeError

    with pytest.raises(RuntimeError):
        list(written(tmp_path, source()))
    assert len(list(tmp_path.iterdir())) == 2
    assert (tmp_path / "ours-not-really.json.gz").read_bytes() == b"of others"


@pytest.mark.parametrize("size", [0, "many", 1.5])
def test_a_size_that_is_not_a_positive_integer_is_refused(tmp_path, size):
    with pytest.raises(ConfigurationError, match=r"`batch_config\.batch_size` must be"):
        list(written(tmp_path, size=size))


def test_parquet_has_every_member_of_every_record(tmp_path):
    lines = [b'{"a":1}', b'{"a":2,"b":{"c":null}}', b'{"b":{"d":"x"},"e":0.10}']
    (path,) = written(tmp_path, lines, kind="parquet")
    rows = parquet.read_table(path).to_pylist()
    assert [row["a"] for row in rows] == [1, 2, None]
    assert rows[2]["b"]["d"] == "x"
    assert str(rows[2]["e"]) == "0.10"


def test_parquet_needs_its_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install '\.\[parquet\]'"):
        list(written(tmp_path, kind="parquet"))


@pytest.fixture
def s3():
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_batches_in_s3(s3):
    access = {
        "endpoint_url": s3,
        "key": "k",
        "secret": "s",
        "client_kwargs": {"region_name": "us-east-1"},
    }
    requests.put(f"{s3}/bucket", timeout=10).raise_for_status()
    folder = UPath("s3://bucket/folder", **access)
    (folder / "of-others.json").write_text("{}")
    batch_config = {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": "s3://bucket/folder", "params": access},
        "batch_size": 30,
    }
    with Sandbox(Dataset(records=70)) as sandbox:
        messages = sync(config_for(sandbox, batch_config=batch_config))
        plain = records(sync(config_for(sandbox)))
    urls = [m["manifest"][0] for m in messages if m["type"] == "BATCH"]
    files = [gzip.decompress(UPath(url, **access).read_bytes()) for url in urls]
    assert [json.loads(line) for file in files for line in file.splitlines()] == plain
    assert len(urls) == 3
    assert len(list(folder.iterdir())) == 4
