"""The assets executed as one run in this process, recorded in `<home>/dagster`."""

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import sqlalchemy

from pipelines.errors import RestageError
from pipelines.orchestration.plan import Plan, concerned
from pipelines.orchestration.records import KeptConnections, put_aside
from pipelines.orchestration.session import TAKEN_IN
from pipelines.orchestration.settings import load_settings
from pipelines.warehouse import Home, write_whole

OURS = "# written by restage from its settings; a file without this line is left alone\n"
SERVERS = "RESTAGE_POSTGRES"  # what `deploy/dagster.yaml` takes the address of the records from
# one run at a time, because one process writes the warehouse; a run whose process is gone is failed, and done again
# where its job says so (`automation.JOB_TAGS`)
SETTINGS = """telemetry: {{enabled: false}}
nux: {{enabled: false}}
concurrency: {{runs: {{max_concurrent_runs: 1}}}}
run_monitoring: {{enabled: true, start_timeout_seconds: 300, poll_interval_seconds: 30}}
run_retries: {{enabled: true, max_retries: 0}}
freshness: {{enabled: true}}
event_log_storage: {{module: {module}, class: {storage}, config: {{base_dir: {records}}}}}
retention:
  sensor: {{purge_after_days: {days}}}
  schedule: {{purge_after_days: {{skipped: {days}, failure: {runs}, success: {runs}}}}}
"""


def prepare_dagster(home: Home) -> None:
    """Make the folder that holds Dagster's records of this study; this process and its children use it."""
    folder = home.dagster.resolve()
    path, settings = folder / "dagster.yaml", load_settings(home)
    text = OURS + SETTINGS.format(
        days=settings.keep_ticks_days,
        runs=settings.keep_runs_days,
        module=KeptConnections.__module__,
        storage=KeptConnections.__name__,
        records=json.dumps(str(folder / "history" / "runs")),
    )
    there = path.read_text(encoding="utf-8") if path.exists() else OURS
    if there.startswith(OURS) and there != text:
        write_whole(path, text)
    put_aside(folder)
    os.environ["DAGSTER_HOME"] = str(folder)
    os.environ["RESTAGE_HOME"] = str(home.root.resolve())
    os.environ["RESTAGE_AS_OF"] = home.as_of or ""


@sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, "connect")
def _commit_without_waiting(connection: Any, _: object) -> None:
    """A run leaves more than a thousand small commits; waiting for the disk at each takes seconds.

    Only a power cut could lose the last of Dagster's records, and those can be made again from the archive.
    """
    if isinstance(connection, sqlite3.Connection):
        connection.execute("pragma synchronous = off")


@contextmanager
def records(home: Home) -> Iterator[dg.DagsterInstance]:
    """Dagster's records of a study. Raises `RestageError` where they lie in a PostgreSQL that cannot be reached."""
    try:
        instance = dg.DagsterInstance.from_config(str(home.dagster.resolve()))
    except Exception as error:
        if SERVERS not in (home.dagster / "dagster.yaml").read_text(encoding="utf-8"):
            raise
        unset = "" if os.environ.get(SERVERS) else f", because {SERVERS} is not set"
        raise RestageError(
            f"Dagster's records cannot be opened{unset}. {home.dagster / 'dagster.yaml'} has them in the PostgreSQL "
            f"that {SERVERS} names: use the server's own command (`sudo -u restage restage`), and see that PostgreSQL "
            "is at work."
        ) from error
    with instance:
        yield instance


def execute(home: Home, plan: Plan) -> str:
    """Run what the plan asks for; returns the run's id. The error that stops a step is raised as it came."""
    prepare_dagster(home)
    from pipelines.orchestration.definitions import defs

    job = defs.resolve_implicit_global_asset_job_def()
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with records(home) as instance:
        selection = _selection(home, plan, defs)
        done = job.execute_in_process(
            instance=instance, asset_selection=selection, run_config=quiet, tags={TAKEN_IN: "yes"}
        )
        return done.run_id


def with_centres(keys: Iterable[dg.AssetKey], centres: Collection[str]) -> list[dg.AssetKey]:
    """Every table and report, and what is landed and staged of these centres."""
    return sorted(k for k in keys if k.path[0] not in ("landed", "staged") or k.path[1] in centres)


def _selection(home: Home, plan: Plan, defs: dg.Definitions) -> list[dg.AssetKey]:
    """Every table and report, and the centres whose deliveries are new or were not staged by this code yet."""
    return with_centres(defs.resolve_all_asset_keys(), concerned(home, plan))
