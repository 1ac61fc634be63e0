"""The columns that targets for servers that cannot run here would create."""

import json
import re
import subprocess

import pytest

from scripts import ROOT
from scripts.environments import build
from tap_akuity.tap import TapAkuity
from tests.helpers.catalogs import CONFIG
from tests.helpers.readme import section

pytestmark = pytest.mark.timeout(600)

CONNECTOR = """
from {0} import {1}
connector = {1}({2})
columns = {{name: str(connector.to_sql_type(one)) for name, one in properties}}
"""

CODE = {
    "BigQuery": """
from target_bigquery.core import SchemaTranslator
fields = SchemaTranslator(schema, {}).translated_schema
columns = {one.name: one.field_type for one in fields}
""",
    "Snowflake": CONNECTOR.format(
        "target_snowflake.connector", "SnowflakeConnector", {}
    ),
    "Redshift": """
from target_redshift.db_sync import column_type
columns = {name: column_type(one) for name, one in properties}
""",
    "SQL Server": CONNECTOR.format("target_mssql.connector", "mssqlConnector", {}),
    "ClickHouse": CONNECTOR.format(
        "target_clickhouse.connectors",
        "ClickhouseConnector",
        {"sqlalchemy_url": "clickhouse+http://localhost"},
    ),
}
"""What asks a target for the `columns` of a `schema`."""

OPTIONS = {
    # What it pins has no wheel for Python 3.11, hence each of its dependencies.
    "Redshift": (
        "--no-deps pipelinewise-singer-python==1.3.0 simplejson pytz backoff "
        "python-dateutil ciso8601 jsonschema==3.2.0 attrs pyrsistent six setuptools<81 "
        "joblib loky cloudpickle inflection psycopg2-binary boto3 botocore jmespath "
        "s3transfer urllib3"
    ),
    "SQL Server": "--ignore-requires-python",
}


@pytest.mark.parametrize("name", CODE)
def test_the_columns_are_those_of_the_page(name):
    table = section("Tested by their schema only")
    (line,) = re.findall(rf"^\| {name} \|(.*) \|$", table, re.MULTILINE)
    packages, *types = (re.findall(r"`(.+?)`", cell) for cell in line.split(" | "))
    place = f"schema-{name.lower().replace(' ', '-')}"
    file = ROOT / "requirements" / f"{place}.txt"
    assert file.read_text(encoding="utf-8").split() == packages
    python = build(place, *OPTIONS.get(name, "").split()) / "python"

    schema = TapAkuity(config=CONFIG).streams["audit_logs"].schema
    code = f"""
import json, sys
schema = json.load(sys.stdin)
properties = schema["properties"].items()
{CODE[name]}
print(json.dumps(columns))
"""
    found = json.loads(
        subprocess.check_output(
            [python, "-W", "ignore", "-c", code],
            input=json.dumps(schema).encode(),
            timeout=60,
        )
    )
    assert found.keys() == schema["properties"].keys()
    columns = ("id", "timestamp", "object")
    assert [found[column] for column in columns] == [names[0] for names in types]
    assert found["lastOccurredTimestamp"] == found["timestamp"]
    assert found["actor"] == found["details"] == found["object"]
