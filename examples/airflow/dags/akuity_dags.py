"""DAGs that load the audit logs of Akuity organizations into PostgreSQL.

`akuity_backfill` reads past events, in shards of a month, several at a time.
`akuity_incremental_<organization>` reads later events, on a schedule.
"""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Connection, Variable, get_current_context, task
from airflow.sdk.log import mask_secret

import akuity_config
import akuity_pipeline
from akuity_config import Organization, Shard

if TYPE_CHECKING:
    from collections.abc import Callable

    from akuity_pipeline import State

HERE = Path(__file__).parent
CONFIG = akuity_config.read(Path(os.environ.get("AKUITY_CONFIG", HERE / "akuity.json")))

RETRIES: dict[str, Any] = {
    "retries": CONFIG.retries,
    "retry_delay": timedelta(seconds=CONFIG.retry_delay_seconds),
}

log = logging.getLogger("akuity")


def pipe(shard: Shard, state: State, save: Callable[[State], None]) -> None:
    """Run the tap and the target for a shard."""
    organization = CONFIG.organizations[shard.organization]
    key = Connection.get(organization.connection)
    database = Connection.get(CONFIG.target_connection)
    url = f"postgresql+psycopg:{database.get_uri().partition(':')[2]}"
    # Airflow masks passwords by itself.
    mask_secret(key.login)
    mask_secret(url)
    tap = {
        "api_url": key.host or None,
        **organization.settings,
        "api_key_id": key.login,
        "api_key_secret": key.password,
        "start_date": shard.start,
        "end_date": shard.end,
    }
    target = {
        "default_target_schema": "akuity",
        # Otherwise one shard could delete the rows of another as outdated.
        "activate_version": False,
        **CONFIG.target_settings,
        "sqlalchemy_url": url,
    }
    akuity_pipeline.run(
        akuity_pipeline.Command(
            CONFIG.tap, akuity_pipeline.variables("TAP_AKUITY", tap)
        ),
        akuity_pipeline.Command(
            CONFIG.target,
            # target-postgres writes times with a zone into columns without one, and
            # PostgreSQL then converts them to the session's zone.
            {"PGTZ": "UTC", **akuity_pipeline.variables("TARGET_POSTGRES", target)},
        ),
        state,
        save,
        log.info,
    )


def load(organization: str, start: str, end: str | None) -> None:
    """Load the new events of a shard, from its state on."""
    shard = Shard(organization, start, end)
    get_current_context()["shard"] = shard.label
    pipe(
        shard,
        Variable.get(shard.state, default={}, deserialize_json=True),
        lambda state: Variable.set(shard.state, state, serialize_json=True),
    )


def list_shards() -> list[dict[str, str | None]]:
    """List the shards to load: each organization by month."""
    return [shard._asdict() for shard in CONFIG.shards()]


def make_table() -> None:
    """Load as little as possible, so that the target creates its table.

    Shards that run at the same time would all try to create it.
    """
    organization = next(iter(CONFIG.organizations.values()))
    pipe(organization.first_second(), {}, lambda _: None)


def backfill() -> DAG:
    """Return the DAG that reads past events; it is triggered manually."""
    with DAG(
        "akuity_backfill",
        schedule=None,
        max_active_runs=1,
        tags=["akuity"],
        default_args=RETRIES,
        doc_md=list_shards.__doc__,
    ) as dag:
        shards = task(list_shards)()
        loads = task(
            load,
            task_id="load",
            max_active_tis_per_dag=CONFIG.shards_at_a_time,
            map_index_template="{{ shard }}",
        ).expand_kwargs(shards)
        task(make_table)() >> loads
    return dag


def incremental(organization: Organization) -> DAG:
    """Return the DAG that reads the events after the backfill."""
    with DAG(
        f"akuity_incremental_{organization.name}",
        schedule=organization.schedule,
        start_date=organization.end_of_backfill,
        # Each run reads all up to now: there is nothing to catch up on.
        catchup=False,
        max_active_runs=1,
        tags=["akuity"],
        default_args=RETRIES,
    ) as dag:
        task(load, task_id="load")(**organization.rest()._asdict())
    return dag


backfill()
for _organization in CONFIG.organizations.values():
    incremental(_organization)
