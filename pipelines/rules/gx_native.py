"""Expectations that come with Great Expectations, named in a rule file, over small tables of the warehouse."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.rules.gx_expectation import status_of
from pipelines.rules.gx_record import SEVERITY, find_batch, keep_suite, run_checkpoint
from pipelines.rules.load import Rule

LOG = logging.getLogger(__name__)
TABLES = "tables"


def check_tables(
    context: Any, out: Path, rules: Sequence[Rule], tables: Mapping[str, str]
) -> tuple[dict[str, str], list[Any], dict[str, str]]:
    """Run every native rule over `tables/<table>.parquet`; returns the status of each, the pages to build, and why a
    rule is in error.

    A table that could not be laid down (`tables` says why) makes its rules an error; one without rows
    `not_applicable`, as is a rule of a later protocol version. A table is a suite; the checkpoint `tables` runs them
    all.
    """
    import pandas as pd
    from great_expectations.data_context.types.resource_identifiers import ExpectationSuiteIdentifier

    status = {rule.rule_id: "not_applicable" for rule in rules if rule.not_yet}
    problems: dict[str, str] = {}
    by_table: dict[str, list[Rule]] = defaultdict(list)
    for rule in rules:
        if not rule.not_yet:
            by_table[rule.table].append(rule)
    pages: list[Any] = []
    parts: list[tuple[Any, Any]] = []
    for table, of_table in sorted(by_table.items()):
        path = out / TABLES / f"{table}.parquet"
        if tables.get(table) or not path.exists():
            problems |= {r.rule_id: tables.get(table) or f"there is no table {table}" for r in of_table}
        elif pd.read_parquet(path).empty:
            status |= {r.rule_id: "not_applicable" for r in of_table}
        else:
            ready, wrong = _expectations(of_table)
            problems |= wrong
            if not ready:
                continue
            suite, is_new = keep_suite(context, table, ready)
            pages += [ExpectationSuiteIdentifier(table)] if is_new else []
            parts.append((suite, find_batch(context, out / TABLES, "parquet", path.name)))
    if parts:
        results = run_checkpoint(context, TABLES, TABLES, parts)
        pages += results
        found = [result for suite_result in results.values() for result in suite_result.results]
        seen = {r.expectation_config.meta["rule_id"]: status_of(r) for r in found}
        status |= seen
        # what it raised may quote a value
        problems |= {r: "Great Expectations could not look at the table" for r, s in seen.items() if s == "error"}
    return status | dict.fromkeys(problems, "error"), pages, problems


def _expectations(rules: Sequence[Rule]) -> tuple[list[Any], dict[str, str]]:
    """The expectations that rules name, and what is wrong with those that name none or give it arguments that it does
    not take."""
    ready, wrong = [], {}
    for rule in rules:
        try:
            ready.append(expectation(rule))
        except (AttributeError, TypeError, ValueError) as error:
            LOG.warning("rule %s: Great Expectations refuses what it names: %s", rule.rule_id, error)
            kind = rule.native["type"] if rule.native else ""
            known = isinstance(error, AttributeError)
            wrong[rule.rule_id] = f"Great Expectations {'knows no' if known else 'refuses the arguments of'} {kind}"
    return ready, wrong


def expectation(rule: Rule) -> Any:
    """The native expectation that a rule file names, with the rule's words."""
    import great_expectations as gx

    assert rule.native is not None
    name = "".join(part.capitalize() for part in rule.native["type"].split("_"))
    words = {"source": rule.source, "category": rule.category, "suggestion": rule.suggestion["en"]}
    return getattr(gx.expectations, name)(
        **rule.native.get("kwargs", {}),
        severity=SEVERITY[rule.severity],
        description=rule.title["en"],
        notes=[f"{word}: {text}" for word, text in {"rule": rule.rule_id, **words}.items()],
        meta={"rule_id": rule.rule_id, "title": rule.title["en"], "table": rule.table, "severity": rule.severity}
        | words,
    )


def judge(rule: Rule, rows: list[dict[str, Any]]) -> str:
    """The status of a native rule over a few rows, without keeping anything: how its examples are tested."""
    import great_expectations as gx
    import pandas as pd

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    asset = context.data_sources.add_pandas(TABLES).add_dataframe_asset(TABLES)
    batch = asset.add_batch_definition_whole_dataframe(TABLES).get_batch({"dataframe": pd.DataFrame(rows)})
    return status_of(batch.validate(expectation(rule)))
