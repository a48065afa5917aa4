"""The rules as Great Expectations shows them: suites, checkpoints, validation results and Data Docs.

Only the counting is pushed down to DuckDB. This is the one module that imports Great Expectations, and only when asked.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import DiskFull, RestageError, disk_full

if TYPE_CHECKING:
    import duckdb

SEVERITY = {"stop": "critical", "exclude": "critical", "query": "warning", "note": "info"}
NO_ROOM = 28  # exit code of the process when the disk is full
Counts = Sequence[Mapping[str, Any]]


def validate(counts: "Counts | duckdb.DuckDBPyConnection", out: Path) -> dict[str, Any]:
    """Let Great Expectations record one run of the rules under `out`, and build its Data Docs.

    Input: the rows of `validated.rule_counts` (one per rule and centre), or a connection that has them. A family is a
    suite with a checkpoint, a rule an expectation. Rules that had nothing to check are left out: neither passed nor
    failed. Returns how many rules `passed`, `failed`, are `not_applicable` or in `error` (an exception is never counted
    as a plain failure), the ids of those that failed or are in error, and where the Data Docs lie. Source: QUALITY.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    rules = _by_rule(counts if isinstance(counts, Sequence) else _read(counts))
    status = {r["rule_id"]: "not_applicable" for r in rules if r["status"] == "not_applicable"}
    families: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for rule in rules:
        if rule["status"] != "not_applicable":
            families[rule["family"]].append(rule)
    docs = out / "uncommitted" / "data_docs" / "local_site" / "index.html"
    if families:
        status |= _record(dict(sorted(families.items())), out)
    named = {kind: sorted(r for r, s in status.items() if s == kind) for kind in ("fail", "error")}
    totals = {kind: list(status.values()).count(kind) for kind in ("pass", "fail", "not_applicable", "error")}
    return {
        "passed": totals["pass"], "failed": totals["fail"], "not_applicable": totals["not_applicable"],
        "error": totals["error"], "failing_rules": named["fail"], "rules_in_error": named["error"],
        "data_docs": str(docs.relative_to(out)),
    }  # fmt: skip


def start(out: Path) -> "subprocess.Popen[str]":
    """Let a process of its own import Great Expectations, so that it is ready when the rules have been counted."""
    return subprocess.Popen(
        [sys.executable, "-m", __name__, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def hand_over(process: "subprocess.Popen[str]", con: "duckdb.DuckDBPyConnection") -> None:
    """Give the counts to the process that `start` began; it works on while the caller does something else."""
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(_read(con)))
        process.stdin.close()
    except BrokenPipeError:
        pass  # it has ended; `collect` says so
    process.stdin = None


def collect(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What `validate` said in that process. Raises `RestageError` when it failed."""
    answer, _ = process.communicate()
    if process.returncode == NO_ROOM:
        raise DiskFull
    if process.returncode:
        raise RestageError("Great Expectations could not record the rules; what it said stands above.")
    return dict(json.loads(answer))


def _read(con: "duckdb.DuckDBPyConnection") -> Counts:
    """The counts from the warehouse, attached as `store` or opened itself."""
    attached = con.execute("select count(*) from duckdb_databases() where database_name = 'store'").fetchall()[0][0]
    rows = con.execute(f"from {'store.' if attached else ''}validated.rule_counts")
    names = [column[0] for column in rows.description]
    return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]


def _by_rule(counts: Counts) -> list[dict[str, Any]]:
    """One row per rule: its totals over the centres, the worst status, and the failing rows of each centre."""
    worst = ("error", "fail", "pass", "not_applicable")
    rules: dict[str, dict[str, Any]] = {}
    for row in counts:
        fresh = {k: row[k] for k in ("rule_id", "family", "title", "severity", "table_name")}
        rule = rules.setdefault(
            row["rule_id"], fresh | {"checked": 0, "failed": 0, "status": "not_applicable", "centres": {}}
        )
        rule["checked"] += int(row["n_checked"])
        rule["failed"] += int(row["n_failed"])
        rule["status"] = min(rule["status"], row["status"], key=worst.index)
        if row["n_failed"]:
            rule["centres"][row["centre"]] = int(row["n_failed"])
    return list(rules.values())


def _record(families: Mapping[str, list[dict[str, Any]]], out: Path) -> dict[str, str]:
    """Run one checkpoint per family; the status of each rule as Great Expectations saw it."""
    import great_expectations as gx
    import pandas as pd
    from great_expectations.data_context.types.resource_identifiers import ExpectationSuiteIdentifier

    context = gx.get_context(mode="file", context_root_dir=str(out))
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    source = context.data_sources.add_or_update_pandas("rules")
    batch = source.add_dataframe_asset("counts").add_batch_definition_whole_dataframe("whole")
    frame = pd.DataFrame([rule for rules in families.values() for rule in rules])
    rule_to_hold = _expectation()
    status: dict[str, str] = {}
    pages: list[Any] = []
    for family, rules in families.items():
        expectations = [
            rule_to_hold(
                rule_id=r["rule_id"],
                severity=SEVERITY[r["severity"]],
                description=r["title"],
                meta={"table": r["table_name"], "severity": r["severity"]},
            )
            for r in rules
        ]
        suite = context.suites.add_or_update(gx.ExpectationSuite(family, expectations=expectations))
        definition = gx.ValidationDefinition(name=family, data=batch, suite=suite)
        definition = context.validation_definitions.add_or_update(definition)
        checkpoint = context.checkpoints.add_or_update(
            gx.Checkpoint(name=family, validation_definitions=[definition], result_format={"result_format": "COMPLETE"})
        )
        result = checkpoint.run(batch_parameters={"dataframe": frame})
        pages.append(ExpectationSuiteIdentifier(family))
        for identifier, run in result.run_results.items():
            pages.append(identifier)
            status |= {r.expectation_config.kwargs["rule_id"]: _status(r) for r in run.results if r.expectation_config}
    # only what is new: earlier runs' pages stay as they are
    context.build_data_docs(resource_identifiers=pages)
    return status


def _status(result: Any) -> str:
    """An exception counts as a plain failure in Great Expectations, so it is looked for first."""
    info = result.exception_info or {}
    raised = [info, *(part for part in info.values() if isinstance(part, dict))]
    if any(part.get("raised_exception") or part.get("exception_message") for part in raised):
        return "error"
    return "pass" if result.success else "fail"


@cache
def _expectation() -> Any:
    """The expectation class; defined here because its bases need the library. Registered with it once."""
    from great_expectations.core.metric_domain_types import MetricDomainTypes
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.expectations.expectation import BatchExpectation
    from great_expectations.expectations.metrics.metric_provider import metric_value
    from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider

    class RuleCounts(TableMetricProvider):
        """One rule's row of counts, made in DuckDB."""

        metric_name = "table.rule_counts"
        value_keys = ("rule_id",)

        @metric_value(engine=PandasExecutionEngine)
        def _pandas(
            cls: Any,
            execution_engine: Any,
            metric_domain_kwargs: Any,
            metric_value_kwargs: Any,
            metrics: Any,
            runtime_configuration: Any,
        ) -> dict[str, Any]:
            frame, _, _ = execution_engine.get_compute_domain(metric_domain_kwargs, domain_type=MetricDomainTypes.TABLE)
            row = frame[frame.rule_id == metric_value_kwargs["rule_id"]].iloc[0]
            if row.status == "error":
                raise RuntimeError("DuckDB could not run this rule")
            return {"checked": int(row.checked), "failed": int(row.failed), "centres": dict(row.centres)}

    class ExpectRuleToHold(BatchExpectation):
        """No row breaks the rule."""

        rule_id: str
        metric_dependencies = ("table.rule_counts",)
        success_keys = ("rule_id",)
        domain_keys = ("batch_id",)

        def _validate(self, metrics: Any, runtime_configuration: Any = None, execution_engine: Any = None) -> Any:
            found = metrics["table.rule_counts"]
            checked, failed = found["checked"], found["failed"]
            share = {"unexpected_percent": 100 * failed / checked} if checked else {}
            result = {"element_count": checked, "unexpected_count": failed, "details": {"by_centre": found["centres"]}}
            return {"success": failed == 0, "result": result | share}

    return ExpectRuleToHold


def main(out: Path) -> None:
    """The process of `start`: counts come as JSON on standard input, the summary goes out the same way."""
    from contextlib import redirect_stdout

    with redirect_stdout(sys.stderr):
        import great_expectations  # noqa: F401

        counts = sys.stdin.read()
        try:
            summary = validate(json.loads(counts), out) if counts else {}
        except Exception as error:
            if disk_full(error):
                sys.exit(NO_ROOM)
            if not out.exists():
                raise
            # a run that was cut off left files there that cannot be read
            shutil.rmtree(out)
            summary = validate(json.loads(counts), out)
    sys.stdout.write(json.dumps(summary))


if __name__ == "__main__":
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    main(Path(sys.argv[1]))
