"""The columns that targets for servers that cannot run here would create."""

import json
import subprocess
from typing import NamedTuple

import pytest

from tap_akuity.tap import TapAkuity
from tests.helpers import environments
from tests.helpers.catalogs import CONFIG

pytestmark = pytest.mark.timeout(600)

ASK = """
import json, sys
schema = json.load(sys.stdin)
properties = schema["properties"].items()
{}
json.dump(columns, sys.stdout)
"""

CONNECTOR = """
from {0} import {1}
connector = {1}({2})
columns = {{name: str(connector.to_sql_type(one)) for name, one in properties}}
"""

BIGQUERY = """
from target_bigquery.core import SchemaTranslator
def types(fields):
    return {one.name: types(one.fields) or one.field_type for one in fields}
columns = types(SchemaTranslator(schema, {}).translated_schema)
"""

REDSHIFT = """
from target_redshift.db_sync import column_type
columns = {name: column_type(one) for name, one in properties}
"""

CLICKHOUSE = {"sqlalchemy_url": "clickhouse+http://localhost"}


class Types(NamedTuple):
    """The types of a target's columns."""

    id: str
    text: str
    time: str
    integer: str
    object: str | None
    """None if its members have columns."""


@pytest.mark.parametrize(
    ("name", "requirements", "code", "types"),
    [
        (
            "bigquery",
            "z3-target-bigquery==0.7.2 setuptools<81",
            BIGQUERY,
            Types("STRING", "STRING", "TIMESTAMP", "INTEGER", None),
        ),
        (
            "snowflake",
            "meltanolabs-target-snowflake==0.20.4",
            CONNECTOR.format("target_snowflake.connector", "SnowflakeConnector", {}),
            Types("VARCHAR(64)", "VARCHAR", "TIMESTAMP_NTZ", "DECIMAL", "VARIANT"),
        ),
        (
            "redshift",
            # What it pins has no wheel for Python 3.11, hence each of its dependencies.
            "--no-deps pipelinewise-target-redshift==1.6.0 "
            "pipelinewise-singer-python==1.3.0 simplejson pytz backoff python-dateutil "
            "ciso8601 jsonschema==3.2.0 attrs pyrsistent six setuptools<81 joblib loky "
            "cloudpickle inflection psycopg2-binary boto3 botocore jmespath s3transfer "
            "urllib3",
            REDSHIFT,
            Types(
                "character varying(10000)",
                "character varying(10000)",
                "timestamp without time zone",
                "numeric",
                "character varying(65535)",
            ),
        ),
        (
            "sql-server",
            "--ignore-requires-python target-mssql==0.2.1 setuptools<81",
            CONNECTOR.format("target_mssql.connector", "mssqlConnector", {}),
            Types("VARCHAR(64)", "VARCHAR", "DATETIME", "BIGINT", "VARCHAR"),
        ),
        (
            "clickhouse",
            "shaped-target-clickhouse==0.2.5 setuptools<81",
            CONNECTOR.format(
                "target_clickhouse.connectors", "ClickhouseConnector", CLICKHOUSE
            ),
            Types("VARCHAR(64)", "VARCHAR", "Nullable(DATETIME)", "Int64", "VARCHAR"),
        ),
    ],
)
def test_the_columns(name, requirements, code, types):
    commands = environments.build(f"translation-{name}", requirements.split())
    schema = TapAkuity(config=CONFIG).streams["audit_logs"].schema
    done = subprocess.run(
        [commands / "python", "-W", "ignore", "-c", ASK.format(code)],
        input=json.dumps(schema),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == {
        "id": types.id,
        "organization_id": types.text,
        "timestamp": types.time,
        "action": types.text,
        "count": types.integer,
        "lastOccurredTimestamp": types.time,
        **{
            name: types.object or fields(schema["properties"][name], types.text)
            for name in ("actor", "object", "details")
        },
    }


def fields(schema, text):
    """Return the type of each member, as a target that keeps objects does."""
    members = schema.get("properties")
    return (
        {name: fields(one, text) for name, one in members.items()} if members else text
    )
