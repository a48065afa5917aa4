"""Declarations of endpoints and sensitivity analyses, and what is counted from them."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from pipelines import study, study_schema, warehouse
from pipelines.endpoints import sensitivity
from pipelines.errors import MappingError
from pipelines.rules.load import load_rules


@pytest.fixture
def declared(tmp_path: Path, show_study: Callable[[Path], None]) -> Path:
    """A study with one endpoint, and room for an analysis of it."""
    for folder in ("endpoints", "sensitivity"):
        (tmp_path / folder).mkdir()
    (tmp_path / "codelists").symlink_to(study.STUDY / "codelists")
    (tmp_path / "endpoints" / "os.yaml").write_text((study.STUDY / "endpoints" / "os.yaml").read_text("utf-8"), "utf-8")
    show_study(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("folder", "text", "told"),
    [
        (
            "endpoints",
            "{start: first_dos, events: [], censors: []}",
            "endpoints/x.yaml: no date is called ['first_dos']",
        ),
        ("endpoints", "{start: death, events: [{date: deth}], censors: []}", "no date is called ['deth']"),
        ("endpoints", "{start: death, events: [], until: [{date: x}], censors: []}", "no date is called ['x']"),
        ("sensitivity", "{order: 1, of: {OS: {censors: [never]}}}", "sensitivity/x.yaml: no date is called ['never']"),
        ("sensitivity", "{order: 1, of: {PFS9: {}}}", "no endpoint is called ['PFS9']; one of ['OS']"),
        ("sensitivity", "{order: 1, sum_of: [OS, PFS8], beside: OS}", "no endpoint is called ['PFS8']"),
        ("sensitivity", "{order: 1, sum_of: [OS], beside: PFS7}", "no endpoint is called ['PFS7']"),
    ],
)
def test_what_nobody_knows_stops_instead_of_giving_no_rows(declared: Path, folder: str, text: str, told: str) -> None:
    (declared / folder / "x.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(MappingError, match=re.escape(told)):
        study.sensitivity()


def test_an_analysis_is_the_endpoint_but_for_what_it_says(declared: Path) -> None:
    text = "{order: 1, of: {OS: {start: first_fraction}}, bounds: {max_new_lesions: 4}, instead_of: [a/b]}"
    (declared / "sensitivity" / "late.yaml").write_text(text, encoding="utf-8")
    censors = ["last_known_alive", "first_dose"]
    assert study_schema.analyses() == [
        ("main", "OS", "first_dose", ["death"], [], censors, None, None, []),
        ("late", "OS", "first_fraction", ["death"], [], censors, None, 4, ["a/b"]),
    ]


def test_rules_that_an_analysis_sets_aside_exist_and_exclude() -> None:
    excluding = {rule.rule_id for rule in load_rules() if rule.severity == "exclude"}
    named = {rule for a in study.sensitivity() for rule in a.get("instead_of", [])}
    assert named and named <= excluding


def test_every_named_date_is_made_and_every_made_date_is_named() -> None:
    """A date is a literal in the SQL; those of the second progression are put together with its pattern."""
    sql = "".join(p.read_text("utf-8") for p in sorted((study.ROOT / "sql" / "4_derived").glob("*dates.sql")))
    made = {w for w in re.findall(r"'([a-z_]+)'", sql) if w in study.codelist("date_name") or w.startswith("lesion_")}
    made |= {f"second_{pattern}" for pattern in ("local", "distant", "both")} if "'second_' ||" in sql else set()
    assert made == {*study.codelist("date_name")}


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with closing(warehouse.memory()) as con:
        study_schema.create_schema(con)
        con.execute("""
            create schema derived; create schema reports;
            create table derived.endpoint_times
                (analysis varchar, paramcd varchar, lesion_id varchar, startdt date, adt date, cnsr integer);
            create table derived.adtte
                (paramcd varchar, lesion_id varchar, startdt date, adt date, aval_days integer, aval_months double,
                cnsr integer)
        """)
        yield con


def follow(con: duckdb.DuckDBPyConnection, analysis: str, paramcd: str, days: list[int], n_censored: int = 0) -> None:
    """Subjects with an event on these days; the last ones are censored."""
    con.executemany(
        "insert into derived.endpoint_times select ?, ?, null, date '2014-01-10', date '2014-01-10' + ?::int, ?",
        [(analysis, paramcd, d, int(i >= len(days) - n_censored)) for i, d in enumerate(days)],
    )


def test_each_analysis_stands_beside_the_main_one(con: duckdb.DuckDBPyConnection) -> None:
    """Medians of 20 and 40 days, their sum beside the total; one that is not reached has no difference."""
    follow(con, "main", "PFS1", [10, 20, 30])
    follow(con, "main", "PFS2", [30, 40, 50])
    follow(con, "main", "PFSTOT", [40, 70, 80])
    follow(con, "rt_start", "PFS2", [20, 30, 40])
    follow(con, "next_therapy", "PFS1", [10, 20, 30], n_censored=3)
    sensitivity(con)
    rows = con.execute("""
        select
            analysis, paramcd, n, n_event,
            round(median_months * days_per_month), round(difference_months * days_per_month)
        from reports.sensitivity cross join study.protocol order by analysis
    """).fetchall()
    assert rows == [
        ("next_therapy", "PFS1", 3, 0, None, None),
        ("rt_start", "PFS2", 3, 3, 30, -10),
        ("sum_of_medians", "PFSSUM", None, None, 60, -10),
    ]
    assert con.execute("select why from reports.sensitivity where paramcd = 'PFSSUM'").fetchall()[0][0].endswith(".")


def test_a_sum_needs_both_medians(con: duckdb.DuckDBPyConnection) -> None:
    follow(con, "main", "PFS1", [10, 20, 30], n_censored=3)
    follow(con, "main", "PFSTOT", [40, 70, 80])
    sensitivity(con)
    rows = con.execute("select paramcd, median_months, difference_months from reports.sensitivity").fetchall()
    assert rows == [("PFSSUM", None, None)]


def test_nobody_is_in_no_analysis(con: duckdb.DuckDBPyConnection) -> None:
    sensitivity(con)
    assert con.execute("select paramcd, median_months from reports.sensitivity").fetchall() == [("PFSSUM", None)]
