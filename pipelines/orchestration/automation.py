"""Runs that start by themselves: the sensor on the inbox and the nightly schedule."""

import json
from collections.abc import Sequence

import dagster as dg

from pipelines.deliveries.inbox import content_hash_of, files_of, is_whole, signature_of, waiting
from pipelines.deliveries.intake import archived
from pipelines.deliveries.seen import read_seen
from pipelines.orchestration import orphans
from pipelines.orchestration.execute import with_centres
from pipelines.orchestration.plan import concerned, make_plan
from pipelines.orchestration.retention import forget_old_runs
from pipelines.orchestration.session import CENTRE, DELIVERY, HASH, NIGHTLY, all_centres
from pipelines.orchestration.settings import home_here, load_settings

# a run that was killed is done again from its beginning; one that failed would fail again
JOB_TAGS = {
    "dagster/max_retries": "3", "dagster/retry_on_asset_or_op_failure": "false", "dagster/retry_strategy": "ALL_STEPS",
}  # fmt: skip

# events are in Dagster's records; the daemon's own output says which runs began and how they ended
QUIET = {"loggers": {"console": {"config": {"log_level": "WARNING"}}}}


def load_automation(keys: Sequence[dg.AssetKey]) -> tuple[list[dg.SensorDefinition], list[dg.ScheduleDefinition]]:
    """The sensor and the schedule over these assets, at the times that the settings say."""
    settings = load_settings(home_here())
    everything = dg.define_asset_job("everything", dg.AssetSelection.all(), tags=JOB_TAGS, config=QUIET)

    @dg.sensor(
        job=everything,
        minimum_interval_seconds=settings.look_every_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"One run for each delivery that has lain still for {settings.still_seconds} s, or "
        "whose manifest is met: its centre, and all that hangs on it.",
    )
    def inbox(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        home = home_here()
        if gone := orphans.fail_orphans(context.instance, home):
            context.log.warning("runs whose process is gone: %s", ", ".join(gone))
        asked: dict[str, list[str]] = json.loads(context.cursor or "{}")
        seen, still, requests, growing = read_seen(home), {}, [], 0
        known = archived(home)
        for centre, folder in waiting(home):
            place, signature = f"{centre}/{folder.name}", signature_of(folder)
            if seen.get(place) == signature:
                continue
            if place in asked and asked[place][0] == signature:
                still[place] = asked[place]
            elif not signature or not is_whole(folder, settings.still_seconds) or (named := files_of(folder)) is None:
                growing += 1
            else:
                content = content_hash_of(centre, folder.name, named)
                still[place] = [signature, content]
                before = known.get((centre, folder.name), [])
                if content not in before[-1:]:
                    # a centre may go back to what it had sent before
                    key = f"{content}-{before.count(content) + 1}" if content in before else content
                    tags = {CENTRE: centre, DELIVERY: folder.name, HASH: content}
                    requests.append(dg.RunRequest(key, asset_selection=with_centres(keys, [centre]), tags=tags))
        cursor = json.dumps(still, sort_keys=True)
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=cursor)
        said = f"{growing} deliveries are not whole yet." if growing else "Nothing new."
        return dg.SensorResult(skip_reason=said, cursor=cursor)

    @dg.schedule(
        job=everything,
        cron_schedule=settings.nightly,
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Once a night everything is brought up to date: deliveries whose run failed, a new version of the "
        "code or of a mapping, reports.",
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        home = home_here()
        forget_old_runs(context.instance, settings.keep_runs_days)
        plan, seen = make_plan(home), read_seen(home)
        lying = {c for c, folder in waiting(home) if seen.get(f"{c}/{folder.name}") != signature_of(folder)}
        if plan.nothing and not lying:
            return dg.SkipReason("Nothing new.")
        centres = sorted({*concerned(home, plan), *(lying & all_centres().keys())})
        day = context.scheduled_execution_time.date().isoformat()
        return dg.RunRequest(f"nightly {day}", asset_selection=with_centres(keys, centres), tags={NIGHTLY: day})

    return [inbox], [nightly]
