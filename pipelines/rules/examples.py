"""The examples of the rules: each is judged by its rule, in tables of its own, before the rule judges a study."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study, study_schema, warehouse
from pipelines.rules.counts import checked
from pipelines.rules.load import RULES, Rule, table_columns, tables_read
from pipelines.rules.statements import FAILURES, MACROS, failing, reasons_macros

if TYPE_CHECKING:
    import duckdb

HERE, SUBJECT, LANGUAGE = "here", "S-001", "it"  # who is meant where an example does not say
VERDICTS = {"passes": "pass", "fails": "fail", "unknown": "unknown", "not_applicable": "not_applicable"}
STAGED = {
    "staged.received": {"centre": "varchar", "delivery_id": "varchar", "n_rows": "bigint"},
    "staged.findings": dict.fromkeys(
        ("centre", "delivery_id", "table_name", "usubjid", "record_key", "source_file", "source_row", "field",
         "staged_field", "value_received", "expected", "rule_id"), "varchar",
    ),
}  # fmt: skip
WHERE_KEPT = "rules.json"


def broken_examples(rules: Sequence[Rule], root: Path) -> dict[str, str]:
    """The rules whose examples do not hold, and which: rule id -> file, example and what the rule says of it.

    `root` keeps the digests of the rules whose examples held, so that each is tried once and again when it changes.
    """
    if os.environ.get("RESTAGE_PROTOCOL"):
        return {}  # examples speak of the newest version's numbers
    kept = root / WHERE_KEPT
    held = set(json.loads(kept.read_text(encoding="utf-8"))) if kept.is_file() else set()
    digests = {
        rule.rule_id: _digest(rule) for rule in rules if rule.examples and not rule.problem and rule.native is None
    }
    new = [rule for rule in rules if digests.get(rule.rule_id, "") not in held | {""}]
    problems = try_examples(new)
    held = {digest for rule_id, digest in digests.items() if rule_id not in problems}
    if new:
        root.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(sorted(held), indent=1) + "\n", encoding="utf-8")
    return problems


def try_examples(rules: Sequence[Rule]) -> dict[str, str]:
    """The rules of which one example is judged otherwise than it says, with that example."""
    import duckdb

    problems: dict[str, str] = {}
    if not rules:
        return problems
    with closing(warehouse.memory()) as con:
        con.execute("set threads = 1")  # the work is in reading the statements, and there are no rows to share
        declare(con, rules)
        for rule in rules:
            cases = [(kind, i, case) for kind in VERDICTS for i, case in enumerate(rule.examples.get(kind, ()), 1)]
            for kind, i, case in cases:
                try:
                    said = judge(con, rule, case)[0]
                except duckdb.Error as error:
                    said = str(error).splitlines()[0]
                if said != VERDICTS[kind]:
                    problems[rule.rule_id] = f"{rule.file}: example {i} under `{kind}` does not hold: {said}"
                    break
    return problems


def declare(con: "duckdb.DuckDBPyConnection", rules: Sequence[Rule]) -> None:
    """Every table that the rules read, empty, beside the study's words."""
    study_schema.create_schema(con)
    con.execute(MACROS + reasons_macros())
    for table in tables_read(list(rules)):
        if not table.startswith("study."):
            listed = ", ".join(f'"{name}" {kind}' for name, kind in columns_of(table).items())
            con.execute(f"create schema if not exists {table.split('.')[0]}; create table {table} ({listed})")


def columns_of(table: str) -> Mapping[str, str]:
    """The columns of a table with their SQL types; those of landing and staging, too."""
    return STAGED.get(table) or table_columns(table)


def row_sql(table: str, row: Mapping[str, Any]) -> str:
    """The statement that adds one example row; who it is and which centre sent it need not be written out."""
    known = columns_of(table)
    row = {k: v for k, v in {"usubjid": SUBJECT, "centre": HERE, **row}.items() if k in known}
    values = ", ".join(f'{study.sql_literal(v)} as "{k}"' for k, v in row.items())
    return f"insert into {table} by name select {values};"


def judge(con: "duckdb.DuckDBPyConnection", rule: Rule, case: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """What a rule says of one example (pass, fail, unknown or not_applicable), and its failing rows by column."""
    rows = [(rule.table, {"source_row": "the example", **{k: v for k, v in case.items() if k != "with"}})]
    rows += [(table, row) for table, listed in case.get("with", {}).items() for row in listed]
    con.execute("begin")
    try:
        con.execute("".join(row_sql(table, row) for table, row in rows))
        found = con.execute(failing([rule], {HERE: LANGUAGE})).fetchall()
        seen = found or con.execute(f"from ({checked([rule])}) c(rule_id, centre, n) where n > 0").fetchall()
    finally:
        con.execute("rollback")
    failures = [dict(zip(FAILURES, row, strict=True)) for row in found]
    return ("not_applicable" if not seen else failures[0]["outcome"] if failures else "pass"), failures


def _digest(rule: Rule) -> str:
    """Changes with the rule's file, and with what rules are made of."""
    machine = [Path(__file__).with_name(name) for name in ("counts.py", "examples.py", "statements.py")]
    declared = [study.STUDY / "protocol.yaml"]
    path = RULES / rule.family / f"{rule.name}.yaml"
    total = hashlib.sha256()
    for file in (path, *machine, *declared):
        total.update(file.read_bytes())
    return total.hexdigest()
