"""SQL files as models: what the loader refuses before anything runs."""

from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from pipelines import models, warehouse
from pipelines.errors import MappingError

FROM = "from harmonised.subjects s cross join study.protocol p"


def read(folder: Path, sql: str) -> models.Model:
    """The text as the file of a table that is declared."""
    path = folder / "4_derived" / "adsl.sql"
    path.parent.mkdir()
    path.write_text(sql, encoding="utf-8")
    return models.read_model(path, warehouse.memory())


@pytest.mark.parametrize(
    "sql",
    [
        f"select s.usubjid, date '2000-01-01' as window_end, window_end > p.window_start as late {FROM}",
        f"with t as (select p.min_age_years + 1 as max_ecog {FROM}) select max_ecog from t",
        "select 1 as window_end from study.protocol",
    ],
)
def test_an_alias_beside_the_protocol_has_no_name_of_a_parameter(tmp_path: Path, sql: str) -> None:
    """DuckDB reads the column before the alias, so that the one that is meant would be the other, without a word."""
    with pytest.raises(MappingError, match=r"4_derived/adsl\.sql: (window_end|max_ecog) is an alias"):
        read(tmp_path, sql)


@pytest.mark.parametrize(
    "sql",
    [
        f"select s.usubjid, p.window_end as window_end, p.max_ecog {FROM}",
        "select min(s.rtstdt) as window_end from derived.adsl s",
        "select s.usubjid as window_end from derived.adsl s join (select max_ecog from study.protocol) on true",
    ],
)
def test_a_parameter_under_its_own_name_and_an_alias_elsewhere_may_stay(tmp_path: Path, sql: str) -> None:
    assert read(tmp_path, sql).full_name == "derived.adsl"


def test_an_alias_is_read_as_the_parameter() -> None:
    """What the refusal is for."""
    con = warehouse.memory()
    con.execute("create schema study; create table study.protocol as select 7 as window_end")
    assert con.execute("select 1 as window_end, window_end + 1 from study.protocol").fetchall() == [(1, 8)]


def test_what_cannot_be_spilled_has_the_memory_that_it_needs(tmp_path: Path) -> None:
    whole = "create or replace table whole as select len(list(i)) as n from range(3000000) r(i)"
    with closing(warehouse.memory(tmp_path, "30MB")) as con:
        with pytest.raises(duckdb.OutOfMemoryException):
            con.execute(whole)
        warehouse.with_room(con, whole)
        assert con.execute("from whole").fetchall() == [(3000000,)]
        with pytest.raises(duckdb.OutOfMemoryException):  # the bound holds again
            con.execute(whole)
