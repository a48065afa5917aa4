"""Endpoints and their sensitivity analyses on the reference study, and one that a statistician adds."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from pipelines import study
from pipelines.orchestration.steps import load_steps
from pipelines.warehouse import Home, open_read
from tests.acceptance import line


@pytest.fixture(scope="module")
def con(demo_home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with closing(open_read(Home(demo_home))) as con:
        yield con


def test_every_declared_endpoint_has_its_row(con: duckdb.DuckDBPyConnection) -> None:
    """Nobody died; nine responded; 51 lesions were irradiated. No median where the curve stays above one half."""
    rows = con.execute("""
        select paramcd, n, n_event, round(median_months, 2) from reports.pfs_summary
        where paramcd not in ('PFS1', 'PFS2', 'PFSTOT') order by paramcd
    """).fetchall()
    assert rows == [
        ("DOR", 9, 9, 7.23),
        ("FIRSTFAIL", 28, 28, 4.39),
        ("LOCALCTRL", 51, 15, 8.44),
        ("OS", 28, 0, None),
        ("OSRT", 28, 0, None),
        ("PFS2RT", 28, 28, 4.39),
        ("TTR", 28, 9, None),
    ]


def test_first_failures_add_up_to_the_curve_from_the_first_fraction(con: duckdb.DuckDBPyConnection) -> None:
    """Patient by patient the same day and the same state, whatever the kind; the kinds are those of Table II."""
    of = "select usubjid, startdt, adt, cnsr = 0 from derived.adtte where paramcd = '{}'"
    one, other = (con.execute(of.format(p) + " order by all").fetchall() for p in ("FIRSTFAIL", "PFS2RT"))
    assert one == other and len(one) == 28
    kinds = con.execute("""
        select e.competing, count(*) from derived.adtte a
        join study.endpoints e on e.paramcd = a.paramcd and e.role = 'event' and e.description = a.evntdesc
        where a.paramcd = 'FIRSTFAIL' group by e.competing order by e.competing
    """).fetchall()
    assert kinds == [("both", 4), ("distant", 15), ("local", 9)]


def test_local_control_is_one_row_for_each_irradiated_lesion(con: duckdb.DuckDBPyConnection) -> None:
    rows = con.execute("""
        select count(*), count(distinct usubjid || lesion_id), count(i.lesion_id), bool_and(startdt = first_fraction_dt)
        from (from derived.adtte where paramcd = 'LOCALCTRL') a
        full join assessed.irradiated_lesions i using (usubjid, lesion_id)
    """).fetchall()
    assert rows == [(51, 51, 51, True)]


def test_recurrences_and_levels_of_response(con: duckdb.DuckDBPyConnection) -> None:
    """In-field 9 + 4 patients, distant 15 + 4 (Table II); every distant one shows a new site (Results)."""
    assert con.execute("""
        select group_key, n_lesions, n_patients, n_with_new_lesion from reports.recurrences order by grouping, group_key
    """).fetchall() == [
        ("in_field", 15, 13, 4), ("marginal", 0, 0, 0), ("out", 15, 15, 15), ("unknown", 0, 0, 0),
        ("both", None, 4, 4), ("distant", None, 15, 15), ("local", None, 9, 0),
    ]  # fmt: skip
    assert con.execute("""
        select level, n, n_cr + n_pr, round(orr_lcl, 1), round(orr_ucl, 1) from reports.response_by_level order by level
    """).fetchall() == [
        ("anatomic_sites", 51, 23, 31.1, 59.7), ("lesions", 51, 23, 31.1, 59.7), ("patients", 28, 9, 15.9, 52.4),
    ]  # fmt: skip


def test_sensitivity_analyses_differ_where_the_cohort_lets_them(con: duckdb.DuckDBPyConnection) -> None:
    """No new drug, no gap, all events known, reports agree with the measurements: only start and bounds tell."""
    rows = con.execute("""
        select analysis, paramcd, n, round(median_months, 2), round(difference_months, 2) from reports.sensitivity
        where abs(difference_months) > 1e-9 order by analysis, paramcd
    """).fetchall()
    assert rows == [
        ("oligo_narrower", "PFS1", 23, 8.71, -0.74),
        ("oligo_narrower", "PFS2", 23, 4.99, 0.44),
        ("oligo_narrower", "PFSTOT", 23, 12.91, -1.07),
        ("rt_start", "PFS2", 28, 4.39, -0.16),
        ("sum_of_medians", "PFSSUM", None, 14.0, 0.02),
    ]
    assert con.execute("select count(*), count(*) filter (why is null) from reports.sensitivity").fetchall() == [
        (20, 0)
    ]


ADDED = """
order: 11
param: Time to death or next response of somebody's choice
decimals: 1
start: {start}
events:
  - {{date: {event}, description: It happened}}
  - {{date: death, description: Death}}
censors:
  - {{date: {censor}, description: It did not}}
"""


@pytest.fixture
def changed_study(tmp_path: Path, show_study: Callable[[Path], None]) -> Path:
    """The study's declarations in a folder where they may be changed."""
    folder = tmp_path / "study"
    shutil.copytree(study.STUDY, folder)
    show_study(folder)
    return folder


def test_a_file_in_endpoints_is_an_endpoint_and_one_line_another_curve(
    demo_home: Path, tmp_path: Path, changed_study: Path
) -> None:
    """A file for patients, one for lesions that may end with the patient, one line of PFS2: nothing else is touched."""
    for name, start, event, censor in (
        ("mine", "response", "second_progression", "last_followup"),
        ("lesions", "lesion_first_fraction", "second_progression", "lesion_last_assessment"),
    ):
        text = ADDED.format(start=start, event=event, censor=censor)
        (changed_study / "endpoints" / f"{name}.yaml").write_text(text, encoding="utf-8")
    pfs2 = changed_study / "endpoints" / "pfs2.yaml"
    pfs2.write_text(pfs2.read_text("utf-8").replace("start: irradiated_progression", "start: first_dose"), "utf-8")
    home = tmp_path / "home"
    shutil.copytree(demo_home / "staged", home / "staged")
    shutil.copy(demo_home / "warehouse.duckdb", home)
    with closing(line.open_study(Home(home))) as con:
        for step in load_steps():
            if step.layer in ("derived", "reports"):
                step.run(con, False)
        found = con.execute("""
            select paramcd, n, n_event, round(median_months, 2) from store.reports.pfs_summary
            where paramcd in ('MINE', 'LESIONS', 'PFS1', 'PFS2') order by paramcd
        """).fetchall()
        rows = con.execute("""
            select paramcd, count(*), count(lesion_id), count(srcseq), any_value(evntdesc) from store.derived.adtte
            where paramcd in ('MINE', 'LESIONS') group by paramcd order by paramcd
        """).fetchall()
    assert found[2:] == [("PFS1", 28, 28, 9.45), ("PFS2", 28, 28, 13.98)]
    assert [row[:3] for row in found[:2]] == [("LESIONS", 51, 51), ("MINE", 9, 9)]
    assert rows == [("LESIONS", 51, 51, 51, "It happened"), ("MINE", 9, 0, 9, "It happened")]
