"""Targets that no server is to be had for: what they make of the schema.

Each is asked in its own environment, by its own function, for the columns that it would
create.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS = 60

_ASK = """
import json, sys
schema = json.load(sys.stdin)
{code}
json.dump(columns, sys.stdout)
"""

_CONNECTOR = """
connector = {connector}({config})
columns = {{
    name: str(connector.to_sql_type(one)) for name, one in schema["properties"].items()
}}
"""

_TRANSLATOR = """
from target_bigquery.core import SchemaTranslator
def types(fields):
    return {one.name: types(one.fields) or one.field_type for one in fields}
columns = types(SchemaTranslator(schema, {}).translated_schema)
"""

_COLUMN_TYPE = """
from target_redshift.db_sync import column_type
columns = {name: column_type(one) for name, one in schema["properties"].items()}
"""


class Translation(NamedTuple):
    """What one target makes of the schema."""

    requirements: tuple[str, ...]
    """Arguments of `pip install`."""

    code: str
    """Gives the `columns` of a `schema`."""

    identifier: str
    text: str
    time: str
    integer: str
    objects: str | None
    """The type of an object; None if it has columns, or fields, of its own."""


def _connector(module: str, name: str, config: dict[str, Any]) -> str:
    code = _CONNECTOR.format(connector=name, config=config)
    return f"from {module} import {name}\n{code}"


TRANSLATIONS = {
    "BigQuery": Translation(
        ("z3-target-bigquery==0.7.2", "setuptools<81"),
        _TRANSLATOR,
        "STRING",
        "STRING",
        "TIMESTAMP",
        "INTEGER",
        None,
    ),
    "Snowflake": Translation(
        ("meltanolabs-target-snowflake==0.20.4",),
        _connector("target_snowflake.connector", "SnowflakeConnector", {}),
        "VARCHAR(64)",
        "VARCHAR",
        "TIMESTAMP_NTZ",
        "DECIMAL",
        "VARIANT",
    ),
    "Redshift": Translation(
        # What it pins has no wheel for Python 3.11: so by hand what its module imports.
        (
            "--no-deps",
            "pipelinewise-target-redshift==1.6.0",
            *("pipelinewise-singer-python==1.3.0", "simplejson", "pytz", "backoff"),
            *(
                "python-dateutil",
                "ciso8601",
                "jsonschema==3.2.0",
                "attrs",
                "pyrsistent",
            ),
            *("six", "setuptools<81", "joblib", "loky", "cloudpickle", "inflection"),
            *("psycopg2-binary", "boto3", "botocore", "jmespath", "s3transfer"),
            "urllib3",
        ),
        _COLUMN_TYPE,
        "character varying(10000)",
        "character varying(10000)",
        "timestamp without time zone",
        "numeric",
        "character varying(65535)",
    ),
    "SQL Server": Translation(
        ("--ignore-requires-python", "target-mssql==0.2.1", "setuptools<81"),
        _connector("target_mssql.connector", "mssqlConnector", {}),
        "VARCHAR(64)",
        "VARCHAR",
        "DATETIME",
        "BIGINT",
        "VARCHAR",
    ),
    "ClickHouse": Translation(
        ("shaped-target-clickhouse==0.2.5", "setuptools<81"),
        _connector(
            "target_clickhouse.connectors",
            "ClickhouseConnector",
            {"sqlalchemy_url": "clickhouse+http://localhost"},
        ),
        "VARCHAR(64)",
        "VARCHAR",
        "Nullable(DATETIME)",
        "Int64",
        "VARCHAR",
    ),
}


def columns(commands: Path, code: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Ask a target for the columns of a schema, by their names."""
    done = subprocess.run(
        [commands / "python", "-W", "ignore", "-c", _ASK.format(code=code)],
        input=json.dumps(schema),
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
