"""How long Dagster keeps the record of a run."""

from datetime import UTC, datetime, timedelta

import dagster as dg

AT_ONCE = 100  # runs that are forgotten in one night


def forget_old_runs(instance: dg.DagsterInstance, days: int, now: datetime | None = None) -> list[str]:
    """Remove finished runs older than so many days, but those that an asset was made by last; returns their ids.

    When a centre sent something, and every row count in the UI, is read from the last run that made the asset.
    """
    before = (now or datetime.now(UTC)) - timedelta(days=days)
    finished = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    old = instance.get_run_records(
        dg.RunsFilter(statuses=finished, created_before=before), limit=AT_ONCE, ascending=True
    )
    if not old:
        return []
    events = instance.get_latest_materialization_events(list(instance.all_asset_keys()))
    kept = {event.run_id for event in events.values() if event}
    gone = [r.dagster_run.run_id for r in old if r.dagster_run.run_id not in kept]
    for run_id in gone:
        instance.delete_run(run_id)
    return gone
