"""Everything that Dagster knows of the study."""

import dagster as dg

from pipelines.orchestration.assets import load_assets
from pipelines.orchestration.automation import load_automation
from pipelines.orchestration.checks import rule_checks
from pipelines.orchestration.lateness import lateness_sensor
from pipelines.orchestration.session import Study, all_centres

assets = load_assets(all_centres())
sensors, schedules = load_automation([spec.key for made in assets for spec in made.specs])

defs = dg.Definitions(
    assets=assets,
    sensors=[*sensors, lateness_sensor],
    schedules=schedules,
    asset_checks=[rule_checks()],
    resources={"study": Study()},
    # one process writes the warehouse, and to start one per step costs more than the step
    executor=dg.in_process_executor,
)
