"""The rows and columns that a row needs, on a warehouse of a few rows."""

from pathlib import Path

import duckdb
import pytest

from pipelines import models, study, warehouse
from pipelines.trace.rows import Row
from pipelines.trace.witness import witnesses

FOLLOWUP = "harmonised.followup"
LAST = Row("derived.dates", ("S1", "last_followup"))
# two centres saw S1 on one day, a third earlier; S2 is somebody else
SEEN = [("S1", "a", "2020-03-01"), ("S1", "b", "2020-03-01"), ("S1", "c", "2019-01-01"), ("S2", "a", "2021-01-01")]


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    con = warehouse.memory()
    con.execute("attach ':memory:' as store; attach ':memory:' as slice")
    for schema in (*models.LAYERS, "study"):
        con.execute(f"create schema store.{schema}; create schema slice.{schema}")
    for name in (FOLLOWUP, "derived.dates"):
        listed = ", ".join(f'"{c.name}" {c.sql_type}' for c in study.tables()[name].columns)
        con.execute(f"create table store.{name} ({listed})")
    for row in SEEN:
        con.execute(f"insert into store.{FOLLOWUP} (usubjid, centre, fudt) values (?, ?, ?)", row)
    return con


def model(con: duckdb.DuckDBPyConnection, value: str) -> models.Model:
    """A model of one row per subject, whose rows are stored as it makes them."""
    sql = f"""
        select usubjid, 'last_followup' as date_name, {value} as adt, null as srcdom, null as srcvar, null as srcseq
        from {FOLLOWUP} group by usubjid
    """
    con.execute("use store")
    con.execute(f"insert into derived.dates {sql}; use memory")
    return models.Model("derived", "dates", Path("dates.sql"), sql, {}, (FOLLOWUP,))


def found(con: duckdb.DuckDBPyConnection, value: str) -> dict[str | None, set[str]]:
    """By centre of the needed rows: the columns of them that matter."""
    needed = witnesses(con, model(con, value), {LAST: frozenset({"adt"})})[LAST]
    assert {row.table for row in needed} == {FOLLOWUP}
    assert {row.key[0] for row in needed} == {"S1"}
    return {row.key[1]: columns for row, columns in needed.items()}


def test_the_row_and_column_that_decide_are_found(con: duckdb.DuckDBPyConnection) -> None:
    assert found(con, "min(fudt)") == {"c": {"fudt"}}


def test_of_rows_that_stand_in_for_each_other_one_is_named(con: duckdb.DuckDBPyConnection) -> None:
    needed = found(con, "max(fudt)")
    assert len(needed) == 1
    assert needed.keys() <= {"a", "b"}
    assert [*needed.values()] == [{"fudt"}]


def test_rows_that_are_only_counted_need_no_value(con: duckdb.DuckDBPyConnection) -> None:
    assert found(con, "date '2020-01-01' + count(*)::integer") == {"a": set(), "b": set(), "c": set()}


def test_what_is_not_asked_for_needs_less(con: duckdb.DuckDBPyConnection) -> None:
    needed = witnesses(con, model(con, "min(fudt)"), {LAST: frozenset()})[LAST]
    assert [columns for columns in needed.values()] == [set()], (
        "that the row is there at all needs one row, any of them"
    )


def test_a_row_that_its_sql_does_not_make_is_not_explained(con: duckdb.DuckDBPyConnection) -> None:
    made = model(con, "min(fudt)")
    con.execute("update store.derived.dates set adt = date '1999-01-01' where usubjid = 'S1'")
    assert witnesses(con, made, {LAST: frozenset({"adt"})}) == {}
