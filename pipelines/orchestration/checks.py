"""The rules as asset checks, one per table and family, and Great Expectations' own record of them."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import dagster as dg

from pipelines import study
from pipelines.orchestration.assets import asset_key
from pipelines.orchestration.session import Study, tell
from pipelines.orchestration.steps import RULES
from pipelines.rules.load import load_rules

COUNTS = asset_key("validated/rule_counts")
# the worst first: a query that is open is no fault of the run
SEVERE = {"stop", "exclude"}


def rule_checks() -> dg.AssetChecksDefinition:
    """One check per table and family; its metadata holds what was checked and failed by rule and centre."""
    families: dict[tuple[str, str], list[str]] = defaultdict(list)
    for rule in load_rules(RULES):
        if rule.table in study.tables():
            families[rule.table, rule.family].append(rule.title)
    specs = {
        (table, family): dg.AssetCheckSpec(
            family, asset=asset_key(table), additional_deps=[COUNTS], description="; ".join(titles)
        )
        for (table, family), titles in families.items()
    }

    @dg.multi_asset_check(name="rules", specs=list(specs.values()))
    def check_rules(study: Study) -> Iterator[dg.AssetCheckResult]:
        tell("checks")
        rows = study.session.con.execute("""
            select table_name, family, rule_id, centre, severity, n_checked, n_failed, status
            from store.validated.rule_counts order by all
        """).fetchall()
        counted = defaultdict(list)
        for table, family, *row in rows:
            counted[table, family].append(row)
        for key, spec in specs.items():
            yield _result(spec, counted[key])

    return check_rules


def _result(spec: dg.AssetCheckSpec, rows: list[list[Any]]) -> dg.AssetCheckResult:
    failing = [row for row in rows if row[6] > 0 or row[-1] == "error"]
    by_rule: dict[str, dict[str, str]] = defaultdict(dict)
    for rule_id, centre, _, n_checked, n_failed, status in ([*r[:2], *r[2:]] for r in rows):
        by_rule[rule_id][str(centre)] = f"{n_failed} of {n_checked} ({status})"
    severe = any(row[2] in SEVERE or row[-1] == "error" for row in failing)
    return dg.AssetCheckResult(
        asset_key=spec.asset_key,
        check_name=spec.name,
        passed=not failing,
        severity=dg.AssetCheckSeverity.ERROR if severe else dg.AssetCheckSeverity.WARN,
        metadata={"n_checked": sum(r[3] for r in rows), "n_failed": sum(r[4] for r in rows), "by_rule": dict(by_rule)},
    )


def expectation_assets() -> dg.AssetsDefinition:
    """The rules as Great Expectations keeps them: suites, a checkpoint's results and Data Docs under `gx/`."""

    @dg.asset(
        name="great_expectations",
        key_prefix="validated",
        group_name="validated",
        deps=[COUNTS],
        kinds={"greatexpectations"},
        description="Suites, validation results and Data Docs of this run, for whoever works with Great Expectations.",
    )
    def validate_rules(study: Study) -> dg.MaterializeResult[Any]:
        from pipelines.rules.gx import validate

        tell("Great Expectations")
        session = study.session
        summary = validate(session.con, session.home.gx)
        return dg.MaterializeResult(metadata=dict(summary))

    return validate_rules
