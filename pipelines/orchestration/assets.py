"""The study as assets: landed and staged per centre, then one per table; each layer is made by one step of a run.

One step a layer and not one a table: a step costs more than most of the tables, and nothing would run side by side,
because one process writes the warehouse.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from pipelines import models
from pipelines.deliveries import ledger
from pipelines.mapping import Centre
from pipelines.orchestration import lateness
from pipelines.orchestration import steps as steps_module
from pipelines.orchestration.columns import (
    asset_key,
    column_lineage,
    column_schema,
    column_shape,
    sending,
    staged_schema,
)
from pipelines.orchestration.files import report_assets
from pipelines.orchestration.previews import report_link
from pipelines.orchestration.session import Study, tell
from pipelines.orchestration.settings import Settings, home_here, load_settings
from pipelines.orchestration.steps import Step, description
from pipelines.status import patience
from pipelines.warehouse import Home

Results = Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]


def centre_assets(centre: Centre, settings: Settings) -> dg.AssetsDefinition:
    """`landed/<centre>` and `staged/<centre>`, made together: only what was staged without a stop is accepted."""
    landed, staged = dg.AssetKey(["landed", centre.name]), dg.AssetKey(["staged", centre.name])
    about: dict[str, Any] = {
        "skippable": True,
        "kinds": {"parquet"},
        "tags": {"restage/centre_kind": centre.kind, "restage/language": centre.language},
        "owners": [settings.owner],
    }
    accepted = dg.AssetCheckSpec("deliveries_accepted", asset=landed, description="No delivery was rejected.")
    stop_rules = dg.AssetCheckSpec(
        "stop_rules",
        asset=staged,
        blocking=True,
        description="The rows in force were held against what rejects a delivery: files, formats, key columns, direct "
        "identifiers, and rules of severity stop.",
    )

    @dg.multi_asset(
        name=f"take_in_{centre.name}",
        specs=[
            dg.AssetSpec(
                landed,
                group_name="landed",
                description=f"{centre.title}: its rows as text, as they came.",
                freshness_policy=freshness(centre, settings.late_after_pct),
                **about,
            ),
            dg.AssetSpec(
                staged,
                deps=[landed],
                group_name="staged",
                description=f"{centre.title}: typed, in the study's words.",
                metadata={"dagster/column_schema": staged_schema(centre)},
                **about,
            ),
        ],
        check_specs=[accepted, stop_rules, lateness.check_spec(landed)],
    )
    def take_in_centre(context: dg.AssetExecutionContext, study: Study) -> Results:
        session = study.session
        tell(f"deliveries of {centre.name}")
        taken = session.take_in(centre.name, context.run.asset_selection)
        refused = [d.name for d in session.new if d.centre == centre.name and d.state == "rejected"]
        rejected = [*refused, *(e.delivery for e in taken.rejected)]
        version = dg.DataVersion(taken.delivery or "none")
        facts: dict[str, Any] = {"delivery": taken.delivery or "none in force", "dagster/row_count": taken.n_landed}
        rows = {name: n for name, n in taken.rows.items() if n}
        report = report_link(session.home, f"centres/{centre.name}/report.html")
        if has_sent(context.instance, landed, session.home, centre.name):
            yield dg.MaterializeResult(landed, metadata=facts, data_version=version)
        # without staged rows Dagster leaves out all that hangs on them
        if not session.done_already:
            yield dg.MaterializeResult(
                staged, metadata={"dagster/row_count": sum(rows.values()), "rows": rows}, data_version=version
            )
        yield dg.AssetCheckResult(
            asset_key=landed,
            check_name=accepted.name,
            passed=not rejected,
            metadata={"n_taken_in": taken.n_pending, "rejected": rejected, "report": report},
        )
        yield dg.AssetCheckResult(**lateness.told(session.home, centre.name))
        yield dg.AssetCheckResult(
            asset_key=staged,
            check_name=stop_rules.name,
            passed=taken.delivery is not None,  # nothing checked is no pass
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"n_checked": taken.n_landed, "n_checked_by_rules": taken.n_checked, "report": report},
        )

    return take_in_centre


def freshness(centre: Centre, late_after_pct: int) -> dg.FreshnessPolicy:
    """Nothing was received for the centre's patience, and red for half as much again; what the check `delivers_in_time`
    says of the day of its data, this says of the day of receipt."""
    late = patience(centre.cadence_days, late_after_pct)
    return dg.FreshnessPolicy.time_window(fail_window=late * lateness.RED_AFTER, warn_window=late)


def has_sent(instance: dg.DagsterInstance, landed: dg.AssetKey, home: Home, centre: str) -> bool:
    """Whether a good delivery came since the asset was made last. A run for another reason, as a new version of the
    code, does not make it: a centre that has fallen silent would look as if it had sent something."""
    last = instance.get_latest_materialization_event(landed)
    if last is None:
        return True
    made = datetime.fromtimestamp(last.timestamp, UTC).isoformat(timespec="milliseconds")
    return any(d.centre == centre and d.state != "rejected" and d.received > made for d in ledger.read(home))


def upstream(step: Step, centres: Mapping[str, Centre]) -> list[dg.AssetKey]:
    """What a table is made from: `staged.x` are the centres that send x, code lists are no assets."""
    keys = set()
    for name in step.deps:
        schema, table = name.split(".")
        if schema == "staged":
            keys |= {dg.AssetKey(["staged", c]) for c in sending(table, centres)}
        elif schema in models.LAYERS:
            keys.add(asset_key(name))
    return sorted(keys)


def layer_assets(
    layer: str, steps: list[Step], centres: Mapping[str, Centre], owners: list[str]
) -> dg.AssetsDefinition:
    """Every table of one layer, made one after the other."""
    specs = [
        dg.AssetSpec(
            asset_key(name),
            deps=upstream(step, centres),
            group_name=layer,
            description=description(name, step),
            code_version=step.version,
            kinds={"duckdb"},
            metadata={"dagster/column_schema": column_shape(name)},
            owners=owners,
        )
        for step in steps
        for name in step.makes
    ]

    @dg.multi_asset(name=layer, specs=specs)
    def make_layer(study: Study) -> Results:
        session = study.session
        for step in steps:
            tell(step.makes[0])
            for name, n_rows in step.run(session.con, session.only_touched).items():
                origins = session.origins.get(name)
                facts: dict[str, Any] = {
                    "dagster/row_count": n_rows,
                    "dagster/column_schema": column_schema(name, origins),
                }
                if origins:
                    facts["dagster/column_lineage"] = column_lineage(origins, session.centres)
                yield dg.MaterializeResult(asset_key(name), metadata=facts)

    return make_layer


def load_assets(centres: Mapping[str, Centre]) -> list[dg.AssetsDefinition]:
    steps, settings = steps_module.load_steps(), load_settings(home_here())
    owners = [settings.owner]
    layers = [
        layer_assets(layer, [s for s in steps if s.layer == layer], centres, owners)
        for layer in models.LAYERS
        if any(s.layer == layer for s in steps)
    ]
    return [*(centre_assets(c, settings) for c in centres.values()), *layers, report_assets(steps, centres, owners)]
