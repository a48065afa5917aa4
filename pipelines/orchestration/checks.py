"""The rules as asset checks, one per table and family."""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import dagster as dg

from pipelines import study
from pipelines.orchestration.columns import asset_key
from pipelines.orchestration.previews import centre_links
from pipelines.orchestration.session import Study, tell
from pipelines.rules.load import counted, load_rules
from pipelines.warehouse import Home

COUNTS = asset_key("validated/rule_counts")
# the worst first: a query that is open is no fault of the run
SEVERE = {"stop", "exclude"}


class Count(NamedTuple):
    """One row of `validated.rule_counts`, without its table and family."""

    rule_id: str
    centre: str | None
    severity: str
    n_checked: int
    n_failed: int
    status: str
    problem: str | None


def checked_table(full_name: str) -> str:
    """The table whose asset shows a rule's check: staged rows of all centres first meet in the harmonised table."""
    if full_name in study.tables():
        return full_name
    harmonised = f"harmonised.{full_name.split('.')[1]}"
    return harmonised if harmonised in study.tables() else "validated.rule_counts"


def rule_checks() -> dg.AssetChecksDefinition:
    """One check per table and family; its metadata holds what was checked and failed by rule and centre."""
    families: dict[tuple[str, str], list[str]] = defaultdict(list)
    for rule in counted(load_rules(keep_broken=True)):
        families[checked_table(rule.table), rule.family].append(rule.title["en"])
    specs = {
        (table, family): dg.AssetCheckSpec(
            family,
            asset=asset_key(table),
            additional_deps=[COUNTS] if asset_key(table) != COUNTS else None,
            description="; ".join(titles),
        )
        for (table, family), titles in families.items()
    }

    @dg.multi_asset_check(name="rules", specs=list(specs.values()))
    def check_rules(study: Study) -> Iterator[dg.AssetCheckResult]:
        tell("checks")
        rows = study.session.con.execute("""
            select table_name, family, rule_id, centre, severity, n_checked, n_failed, status,
                problem
            from store.validated.rule_counts order by all
        """).fetchall()
        study.session.hand_over_rules()
        counts: dict[tuple[str, str], list[Count]] = defaultdict(list)
        for table, family, *row in rows:
            counts[checked_table(table), family].append(Count(*row))
        for key, spec in specs.items():
            yield _result(spec, counts[key], study.session.home)

    return check_rules


def _result(spec: dg.AssetCheckSpec, rows: list[Count], home: Home) -> dg.AssetCheckResult:
    """Counts by severity (numbers, which the UI plots over runs), by centre and by rule, and whose report to open."""
    failing = [row for row in rows if row.n_failed or row.status == "error"]
    severe = any(row.severity in SEVERE or row.status == "error" for row in failing)
    by_rule: dict[str, dict[str, str]] = defaultdict(dict)
    by_severity: dict[str, int] = defaultdict(int)
    by_centre: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for row in rows:
        by_rule[row.rule_id][str(row.centre)] = f"{row.n_failed} of {row.n_checked} ({row.status})"
        by_severity[f"n_failed_{row.severity}"] += row.n_failed
        sums = by_centre[row.centre or "study"][row.severity]
        sums[0], sums[1] = sums[0] + row.n_failed, sums[1] + row.n_checked
    told = {
        centre: ", ".join(f"{severity}: {failed} of {checked}" for severity, (failed, checked) in sorted(sums.items()))
        for centre, sums in by_centre.items()
    }
    asked = sorted({row.centre for row in failing if row.centre})
    return dg.AssetCheckResult(
        asset_key=spec.asset_key,
        check_name=spec.name,
        passed=not failing,
        severity=dg.AssetCheckSeverity.ERROR if severe else dg.AssetCheckSeverity.WARN,
        description="\n".join(sorted({row.problem for row in rows if row.problem})) or None,
        metadata={
            "n_checked": sum(row.n_checked for row in rows),
            "n_failed": sum(row.n_failed for row in rows),
            **by_severity,
            **{f"failed_{centre}": text for centre, text in sorted(told.items())},
            "by_rule": dict(by_rule),
            **centre_links(home, asked),
        },
    )
