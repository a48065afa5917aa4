"""The assets executed as one run in this process, recorded in `<home>/dagster`."""

import os
import sqlite3
from typing import Any

import dagster as dg
import sqlalchemy

from pipelines.deliveries import ledger
from pipelines.orchestration.plan import Plan
from pipelines.warehouse import Home

SETTINGS = """telemetry: {enabled: false}
nux: {enabled: false}
"""


def prepare_dagster(home: Home) -> None:
    """Make the folder that holds Dagster's records of this study; this process and its children use it."""
    folder = home.dagster.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "dagster.yaml"
    if not settings.exists():
        settings.write_text(SETTINGS, encoding="utf-8")
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


def execute(home: Home, plan: Plan) -> str:
    """Run what the plan asks for; returns the run's id. The error that stops a step is raised as it came."""
    prepare_dagster(home)
    from pipelines.orchestration.definitions import defs

    job = defs.resolve_implicit_global_asset_job_def()
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.from_config(str(home.dagster.resolve())) as instance:
        selection = _selection(home, plan, defs)
        return job.execute_in_process(instance=instance, asset_selection=selection, run_config=quiet).run_id


def _selection(home: Home, plan: Plan, defs: dg.Definitions) -> list[dg.AssetKey]:
    """Every table and report, and the centres whose deliveries are new or were not staged by this code yet."""
    sending = {d.centre for d in ledger.read(home)} | {path.name for path in home.staged.glob("[!_.]*")}
    centres = {c for c in plan.versions if c in sending and (plan.full or c in plan.changed)}
    keys = defs.resolve_all_asset_keys()
    return [k for k in keys if k.path[0] not in ("landed", "staged") or k.path[1] in centres]
