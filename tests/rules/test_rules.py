"""Each rule's own examples are its test; then what the pass does with counts, broken rules and staging's findings."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines import study, warehouse
from pipelines.errors import MappingError
from pipelines.rules.load import Rule, load_rules, table_columns, tables_read
from pipelines.rules.run import run_rules

RULES = load_rules()
STAGED = {
    "staged.received": {"centre": "varchar", "delivery_id": "varchar", "n_rows": "bigint"},
    "staged.findings": dict.fromkeys(
        ("centre", "delivery_id", "table_name", "usubjid", "record_key", "source_file", "source_row", "field",
         "value_received", "expected", "rule_id"), "varchar",
    ),
}  # fmt: skip
HOME_CENTRE, SUBJECT = "here", "S-001"


def columns_of(table: str) -> dict[str, str]:
    return STAGED.get(table) or table_columns(table)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """Every table that rules read, declared and empty."""
    with closing(warehouse.memory()) as con:
        study.create_schema(con)
        con.execute("create schema harmonised; create schema assessed; create schema validated; create schema staged")
        for table in tables_read(RULES):
            if not table.startswith("study."):
                listed = ", ".join(f'"{name}" {kind}' for name, kind in columns_of(table).items())
                con.execute(f"create table {table} ({listed})")
        yield con


def insert(con: duckdb.DuckDBPyConnection, table: str, row: Mapping[str, Any]) -> None:
    """One example row; who it is and which centre sent it need not be written out."""
    known = columns_of(table)
    row = {k: v for k, v in {"usubjid": SUBJECT, "centre": HOME_CENTRE, **row}.items() if k in known}
    values = ", ".join(f'{study.sql_literal(v)} as "{k}"' for k, v in row.items())
    con.execute(f"insert into {table} by name select {values}")


def judge(con: duckdb.DuckDBPyConnection, rule: Rule, example: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """What a rule says of one example: pass, fail, unknown or not_applicable; and the finding."""
    tables = {rule.table, *example.get("with", ())}
    for table in tables:
        con.execute(f"delete from {table}")
    insert(con, rule.table, {"source_row": "the example", **{k: v for k, v in example.items() if k != "with"}})
    for table, rows in example.get("with", {}).items():
        for row in rows:
            insert(con, table, row)
    run_rules(con, [rule])
    statuses = con.execute("select status from validated.rule_counts where n_checked > 0 or status = 'error'").fetchall()
    found = con.execute("from validated.rule_failures").fetchall()
    assert "error" not in [s for (s,) in statuses], "DuckDB cannot run this rule"
    for table in tables:
        con.execute(f"delete from {table}")
    if not statuses:
        return "not_applicable", found
    return (found[0][8] if found else "pass"), found


@pytest.mark.parametrize("rule", [r for r in RULES if not r.raised_by], ids=lambda r: r.rule_id)
def test_a_rule_judges_its_examples(con: duckdb.DuckDBPyConnection, rule: Rule) -> None:
    for kind, verdict in {"passes": "pass", "fails": "fail", "unknown": "unknown"}.items():
        for example in rule.examples.get(kind, ()):
            said, found = judge(con, rule, example)
            assert said == verdict, example
            if found:
                assert found[0][2], "a finding names the centre that is asked"
                assert found[0][3] == SUBJECT
                assert "{" not in found[0][9] and found[0][7], "message filled in, expectation told"
    for example in rule.examples.get("not_applicable", ()):
        assert judge(con, rule, example)[0] == "not_applicable", example
