"""What is kept in `<home>/gx`: one suite per family, one checkpoint per centre, one result per suite and delivery."""

import csv
import hashlib
import io
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.rules import gx_expectation
from pipelines.rules.load import Rule

SEVERITY = {"stop": "critical", "exclude": "critical", "query": "warning", "note": "info"}
ALL = "all_centres"
COUNTS = "counts"
COLUMNS = ("rule_id", "centre", "delivery", "checked", "failed", "status")
PLUGIN = Path("plugins") / "restage_rules.py"


def open_context(out: Path) -> Any:
    """The context of one home, made where there is none; it sends nothing anywhere and draws no progress bars."""
    import great_expectations as gx

    context = gx.get_context(mode="file", context_root_dir=str(out))
    if context.variables.analytics_enabled is not False:
        context.variables.analytics_enabled = False
        context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
        # nothing is kept there, and the file would be read again for every object that is touched
        context.variables.config_variables_file_path = None  # type: ignore[assignment]
        context.variables.save()
        context = gx.get_context(mode="file", context_root_dir=str(out))
    (out / PLUGIN).write_bytes(Path(gx_expectation.__file__).read_bytes())
    return context


def record(
    context: Any,
    out: Path,
    counts: Sequence[Mapping[str, Any]],
    deliveries: Mapping[str, str],
    about: Mapping[str, Rule],
) -> tuple[dict[str, str], list[Any]]:
    """Validate what changed since it was last recorded; returns the worst status of each rule over the centres, as
    Great Expectations saw it where it looked, and the pages to build."""
    from great_expectations.data_context.types.resource_identifiers import ExpectationSuiteIdentifier

    families: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    status: dict[str, str] = {}
    for row in counts:
        families[row["family"]][row["rule_id"]] = row
        known = status.get(row["rule_id"], "not_applicable")
        status[row["rule_id"]] = min(known, row["status"], key=gx_expectation.WORST.index)
    suites, pages = [], []
    for family in sorted(families):
        suite, is_new = keep_suite(context, family, [_expectation(r, about) for r in families[family].values()])
        suites.append(suite)
        pages += [ExpectationSuiteIdentifier(family)] if is_new else []
    known = context.data_sources.all().get(COUNTS)
    # in a home that was moved, what was recorded looks for its batches in the old place
    all_again = bool(pages) or (known is not None and Path(known.base_directory) != out / COUNTS)
    for checkpoint, run_name, rows in _batches(counts, deliveries):
        path, text = out / COUNTS / f"{run_name}.csv", _csv(rows)
        if path.exists() and path.read_text(encoding="utf-8") == text and not all_again:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        try:
            batch = find_batch(context, out / COUNTS, "csv", path.name)
            results = run_checkpoint(context, checkpoint, run_name, [(suite, batch) for suite in suites])
        except Exception:
            path.unlink()  # the next run finds nothing recorded, and does it again
            raise
        pages += results
        if checkpoint == ALL:
            found = [result for suite_result in results.values() for result in suite_result.results]
            status |= {r.expectation_config.kwargs["rule_id"]: gx_expectation.status_of(r) for r in found}
    return status, pages


def keep_suite(context: Any, name: str, expectations: list[Any]) -> tuple[Any, bool]:
    """The suite of that name, and whether it is new or says something else than before."""
    import great_expectations as gx
    from great_expectations.exceptions import DataContextError

    said = [e.configuration.to_json_dict() | {"id": None} for e in expectations]
    digest = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()
    try:
        known = context.suites.get(name)
        if (known.meta or {}).get("restage") == digest:
            return known, False
    except DataContextError:
        pass  # not there yet
    return context.suites.add_or_update(
        gx.ExpectationSuite(name, expectations=expectations, meta={"restage": digest})
    ), True


def find_batch(context: Any, folder: Path, kind: str, file_name: str) -> Any:
    """The definition of the batch that is one file (`kind` csv or parquet) of a folder of the context."""
    sources = context.data_sources.all()
    if folder.name not in sources or Path(sources[folder.name].base_directory) != folder:
        # not there yet, or the home was moved
        context.data_sources.add_or_update_pandas_filesystem(folder.name, base_directory=folder)
    source = context.data_sources.get(folder.name)
    if folder.name not in {asset.name for asset in source.assets}:
        getattr(source, f"add_{kind}_asset")(folder.name)
    asset = source.get_asset(folder.name)
    name = file_name.rsplit(".", 1)[0]
    for batch in asset.batch_definitions:
        if batch.name == name:
            return batch
    return asset.add_batch_definition_path(name, path=f"^{re.escape(file_name)}")


def run_checkpoint(context: Any, name: str, run_name: str, parts: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """Run one checkpoint over suites and the batches that they look at; returns its results by their identifiers."""
    import great_expectations as gx
    from great_expectations.core.run_identifier import RunIdentifier

    definitions = [
        gx.ValidationDefinition(name=f"{name} {suite.name}", data=batch, suite=suite) for suite, batch in parts
    ]
    # which keeps the definitions too
    checkpoint = context.checkpoints.add_or_update(
        gx.Checkpoint(name=name, validation_definitions=definitions, result_format={"result_format": "COMPLETE"})
    )
    return dict(checkpoint.run(run_id=RunIdentifier(run_name=run_name)).run_results)


def _expectation(row: Mapping[str, Any], about: Mapping[str, Rule]) -> Any:
    """The expectation of one rule, with its words where the rule's file is known."""
    from great_expectations.expectations.metadata_types import FailureSeverity

    rule = about.get(row["rule_id"])
    words = {"source": rule.source, "category": rule.category, "suggestion": rule.suggestion["en"]} if rule else {}
    meta = {"title": row["title"], "table": row["table_name"], "severity": row["severity"], "family": row["family"]}
    return gx_expectation.ExpectRuleToHold(
        rule_id=row["rule_id"],
        severity=FailureSeverity(SEVERITY[row["severity"]]),
        description=row["title"],
        notes=[f"{word}: {text}" for word, text in {"rule": row["rule_id"], **words}.items()],
        meta=meta | words,
    )


def _batches(
    counts: Sequence[Mapping[str, Any]], deliveries: Mapping[str, str]
) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """What is validated together: each centre's counts under the name of its delivery, then those of all centres."""
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in counts:
        centre = str(row["centre"])
        known = {"delivery": deliveries.get(centre, ""), "checked": row["n_checked"], "failed": row["n_failed"]}
        rows[centre].append({"rule_id": row["rule_id"], "centre": centre, "status": row["status"], **known})
    named = [(centre, deliveries.get(centre, centre), rows[centre]) for centre in sorted(rows)]
    return [*named, (ALL, ALL, [row for _, _, part in named for row in part])] if named else []


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
