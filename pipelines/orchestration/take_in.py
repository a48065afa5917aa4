"""One centre's deliveries brought to `staged/<centre>/`: landed, staged and held against the rules that can reject."""

import json
import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study, warehouse
from pipelines.deliveries import ledger
from pipelines.deliveries.land import land
from pipelines.deliveries.ledger import Delivery
from pipelines.errors import DeliveryRejected, MappingError, Problem
from pipelines.warehouse import Home

if TYPE_CHECKING:
    import duckdb

    from pipelines.mapping import Centre

MARK = "made_from.json"
TECHNICAL = {
    "findings": "centre, delivery_id, table_name, local_id, usubjid, record_key, source_file, source_row, field, "
    "staged_field, value_received, expected, rule_id",
    "dropped": "centre, delivery_id, source, source_file, source_row, reason",
    "received": "centre, delivery_id, source, source_file, file_sha256, n_rows",
}


@dataclass(frozen=True)
class TakenIn:
    """What became of one centre in this run; `delivery` is the one in force, None when it has none."""

    delivery: str | None
    rows: Mapping[str, int]
    n_landed: int
    n_checked: int
    rejected: tuple[DeliveryRejected, ...]
    n_pending: int


def take_in(home: Home, centre: "Centre", pending: tuple[Delivery, ...], version: str) -> TakenIn:
    """Look into the pending deliveries in their order; afterwards `staged/<centre>` holds the newest accepted one.

    A rejected delivery changes nothing but its entry in the ledger. When the mapping or the code changed, the delivery
    in force is staged anew, and gives way to the one before it where it is rejected now.
    """
    rejected = []
    for delivery in pending:
        rejected += _attempt(home, centre, delivery, version)
    while (delivery_in_force := ledger.in_force(home, centre.name)) is not None:
        mark = _mark(home, centre.name)
        if (mark.get("delivery"), mark.get("version")) == (delivery_in_force.delivery_id, version):
            counts = mark["rows"], mark["n_landed"], mark["n_checked"]
            return TakenIn(delivery_in_force.delivery_id, *counts, tuple(rejected), len(pending))
        rejected += _attempt(home, centre, delivery_in_force, version)
    shutil.rmtree(home.staged / centre.name, ignore_errors=True)
    return TakenIn(None, {}, 0, 0, tuple(rejected), len(pending))


def _mark(home: Home, centre: str) -> dict[str, Any]:
    path = home.staged / centre / MARK
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _attempt(home: Home, centre: "Centre", delivery: Delivery, version: str) -> list[DeliveryRejected]:
    """Land and stage one delivery and enter in the ledger what became of it."""
    from pipelines.staging import stage

    # not in `staged/`, where every folder counts as a centre
    draft = home.landed / centre.name / ".staged"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        n_landed = land(home, centre, delivery)
        rows = dict(stage(centre, home.landed / centre.name / delivery.delivery_id, draft))
        n_checked, problems = stop_rules(draft)
        if problems:
            raise DeliveryRejected(centre.name, delivery.name, problems)
    except DeliveryRejected as error:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(home.landed / centre.name / delivery.delivery_id, ignore_errors=True)
        ledger.append(home, delivery.decided("rejected", tuple(map(str, error.problems)), version))
        return [error]
    counts = {"rows": rows, "n_landed": n_landed, "n_checked": n_checked}
    mark = {"delivery": delivery.delivery_id, "version": version, **counts}
    (draft / MARK).write_text(json.dumps(mark), encoding="utf-8")
    _promote(home, centre.name, delivery, draft)
    ledger.append(home, delivery.decided("accepted", (), version))
    return []


def _promote(home: Home, centre: str, delivery: Delivery, draft: Path) -> None:
    """Let the staged rows hold, unless a newer delivery is in force already."""
    newest = ledger.in_force(home, centre)
    if newest is None or newest.order <= delivery.order:
        target = home.staged / centre
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)
    shutil.rmtree(draft, ignore_errors=True)


def stop_rules(staged: Path) -> tuple[int, list[Problem]]:
    """Hold one centre's staged rows against the rules that can reject; returns rows checked and problems."""
    from pipelines.rules.load import load_rules
    from pipelines.rules.run import run_rules

    rules = [r for r in load_rules() if r.severity == "stop" and r.table.startswith("staged.") and not r.raised_by]
    if not rules:
        return 0, []
    with closing(warehouse.memory()) as con:
        study.create_schema(con)
        con.execute("create schema staged")
        for path in sorted(staged.glob("*.parquet")):
            con.execute(f"create view staged.{path.stem} as from {study.sql_literal(str(path))}")
        run_rules(con, rules)
        n_checked = con.execute("select coalesce(sum(n_checked), 0) from validated.rule_counts").fetchall()[0][0]
        broken = con.execute("select distinct rule_id from validated.rule_counts where status = 'error' order by all")
        if names := [name for (name,) in broken.fetchall()]:
            raise MappingError(f"{', '.join(names)}: DuckDB cannot run this rule, so nothing can be accepted by it.")
        failed = con.execute("""
            select c.title, f.rule_id, f.source_file, f.field, min_by(f.source_row, f.rowid), count(*),
                min(f.suggestion)
            from validated.rule_failures f join validated.rule_counts c using (rule_id, centre)
            group by all order by all
        """).fetchall()
    return int(n_checked), [
        Problem(file, f"column {field}, row {row} ({n} rows)", f"{title} ({rule_id})", suggestion)
        for title, rule_id, file, field, row, n, suggestion in failed
    ]


def declare_staged(con: "duckdb.DuckDBPyConnection", staged: Path) -> None:
    """Write `staged/_declared/`: no rows, but each staged table's columns, also where no centre sends it."""
    folder = staged / "_declared"
    folder.mkdir(parents=True, exist_ok=True)
    selects = {
        name: ", ".join(
            f'null::{c.sql_type} as "{c.name}"'
            for c in {
                **study.staged_columns(name),
                **{n: study.Column(n, "text", "") for n in study.PROVENANCE},
            }.values()
        )
        for name in study.staged_tables()
    }
    for name, columns in TECHNICAL.items():
        typed = ((c, "bigint" if c == "n_rows" else "varchar") for c in columns.split(", "))
        selects[name] = ", ".join(f"null::{kind} as {column}" for column, kind in typed)
    for name, columns in selects.items():
        target = study.sql_literal(str(folder / f"{name}.parquet"))
        con.execute(f"copy (select {columns} where false) to {target} (format parquet)")
