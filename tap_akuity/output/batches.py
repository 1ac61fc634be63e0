"""Writes records into batch files."""

import gzip
import importlib.util
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, cast
from uuid import uuid4

from singer_sdk.batch import Batcher
from singer_sdk.exceptions import ConfigurationError
from singer_sdk.helpers._batch import BatchConfig

from tap_akuity.output.conversion import decode
from tap_akuity.output.lines import chunks, unbroken

GZIP_LEVEL = 4
"""The compression level.

For 100,000 records, 60 MB, the process took 1.6 s at level 1 (11.8 MB), 1.8 s at 4
(10.0 MB), 2.1 s at 6 (9.3 MB) and 2.6 s at 9 (9.1 MB), beside 1.3 s without
batches: from here on, compressing would cost more than it saves.
"""

MEMORY_BYTES = 1 << 24
"""How much of a file is kept in memory before it moves to disk."""


def batches(
    tap: str, stream: str, config: BatchConfig, records: Iterator[bytes]
) -> Iterator[list[str]]:
    """Write records into files, each of which appears only once it is complete.

    Records are JSON. Yields the URLs of the files of a batch; no record beyond it has
    been consumed then.

    Raises:
        ConfigurationError: If the files cannot be written with this configuration.
    """
    size = config.batch_size
    if not isinstance(size, int) or size < 1:
        raise ConfigurationError(
            "Setting `batch_config.batch_size` must be an integer of at least 1."
        )
    make = _parquet if config.encoding.format == "parquet" else _json_lines
    write = make(tap, stream, config)
    for first in records:
        yield write(itertools.chain([first], itertools.islice(records, size - 1)))


def _json_lines(
    tap: str, stream: str, config: BatchConfig
) -> Callable[[Iterable[bytes]], list[str]]:
    """Write JSON lines with only a few in memory at a time."""
    storage = config.storage
    name = f"{storage.prefix or ''}{tap}--{stream}-{uuid4()}"
    compressed = config.encoding.compression == "gzip"
    numbers = itertools.count(1)

    def write(records: Iterable[bytes]) -> list[str]:
        file_name = f"{name}-{next(numbers)}.json{'.gz' if compressed else ''}"
        # A sync that is killed or fails leaves no incomplete file behind.
        with tempfile.SpooledTemporaryFile(MEMORY_BYTES) as spool:
            if compressed:
                with gzip.GzipFile(
                    "", "wb", GZIP_LEVEL, cast("IO[bytes]", spool)
                ) as file:
                    _write_lines(file, records)
            else:
                _write_lines(spool, records)
            spool.seek(0)
            with storage.open(file_name, "wb") as file:
                shutil.copyfileobj(spool, file)
        return [storage.get_url(file_name)]

    return write


def _write_lines(file: Any, records: Iterable[bytes]) -> None:  # noqa: ANN401 - a file
    for chunk in chunks(records):
        file.write(unbroken(b"\n".join(chunk) + b"\n"))


def _parquet(
    tap: str, stream: str, config: BatchConfig
) -> Callable[[Iterable[bytes]], list[str]]:
    """Let the SDK write Parquet, with a whole batch in memory."""
    if not importlib.util.find_spec("pyarrow"):
        raise ConfigurationError(
            "Setting `batch_config` asks for Parquet, which requires pyarrow: install "
            "the tap with its extra `parquet`, as in `pip install '.[parquet]'`."
        )
    batcher = Batcher(tap, stream, config)

    def write(records: Iterable[bytes]) -> list[str]:
        rows: list[dict[str, Any]] = [decode(record) for record in records]
        # Only the first row determines the columns.
        rows[0] = {name: None for row in rows for name in row} | rows[0]
        (manifest,) = batcher.get_batches(iter(rows))
        return manifest

    return write
