"""Whether a centre has fallen silent, as a check of its `landed` asset: told by each run, and by a sensor between runs.

Dagster's own freshness policies count from the moment at which an asset was made and know no other day; this check
counts as `restage status` does.
"""

import json
from datetime import date, timedelta
from typing import Any

import dagster as dg

from pipelines.orchestration.session import all_centres
from pipelines.orchestration.settings import home_here, late_after_pct
from pipelines.status import Standing, patience, standing
from pipelines.warehouse import Home

CHECK = "delivers_in_time"
RED_AFTER = 1.5  # of a centre's patience
LOOK_EVERY = 3600  # seconds; a day makes a centre late, not an hour


def check_spec(landed: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check of one centre."""
    return dg.AssetCheckSpec(CHECK, asset=landed, description="Its next delivery is not overdue.")


def told(home: Home, centre: str) -> dict[str, Any]:
    """What the check says of a centre today, or on the day that is shown: yellow where it is late or has sent nothing
    yet, red where half as much again of its patience is over."""
    today = date.fromisoformat(home.as_of) if home.as_of else date.today()
    late_after = late_after_pct(home)
    found = standing(home, all_centres()[centre], late_after, today)
    return {
        "asset_key": dg.AssetKey(["landed", centre]), "check_name": CHECK, "passed": found.freshness == "fresh",
        "severity": dg.AssetCheckSeverity.ERROR if _red(found, late_after, today) else dg.AssetCheckSeverity.WARN,
        "description": f"Data of {found.data_cut}, the next due on {found.due}." if found.due else "Nothing yet.",
        "metadata": {"data_cut": str(found.data_cut), "due": str(found.due), "cadence_days": found.cadence_days},
    }  # fmt: skip


def _red(found: Standing, late_after: int, today: date) -> bool:
    silent = today - date.fromisoformat(found.data_cut) if found.data_cut else timedelta(0)
    return silent > RED_AFTER * patience(found.cadence_days, late_after)


@dg.sensor(
    name="lateness",
    minimum_interval_seconds=LOOK_EVERY,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=f"Tells of each centre that became late, or is no longer: `{CHECK}` of its landed asset.",
)
def lateness_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """A silent centre has no run that could tell it."""
    home = home_here()
    before = json.loads(context.cursor or "{}")
    said = {centre: told(home, centre) for centre in all_centres()}
    now = {centre: [s["passed"], s["severity"].value, s["description"]] for centre, s in said.items()}
    news = [dg.AssetCheckEvaluation(**said[centre]) for centre in now if now[centre] != before.get(centre)]
    return dg.SensorResult(asset_events=news, cursor=json.dumps(now))
