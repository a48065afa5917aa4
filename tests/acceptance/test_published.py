"""From seven raw exports every published figure is found again."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from pipelines.warehouse import Home, open_read

NO_EXPORT_HOLDS = {
    "ethics", "design", "baseline_workup", "l1_assess", "recist", "distant_def", "paz_guideline", "stats",
    "rt_techniques_methods", "paz_during_rt", "ctcae", "tox_report", "dose_lr", "claim_no_increase",
    "claim_diarrhea_anemia_higher",
}  # fmt: skip
MISPRINTS = {
    "clear_cell_text": "clear_cell", "tox_any_diarrhea": "tox_any_diarrhea", "dose_bone": "schedule_bone",
    "dose_kidney": "schedule_bone", "rt_text_lungs": "oligo_lung", "rt_text_nodes": "oligo_node",
    "rt_text_brain": "oligo_brain", "oligoprog_def": "sites_per_patient_median", "bed_claim": "schedule_most_8x1",
    "claim_pr_all_sites": "srt_resp_pleura", "claim_brain_worst": "srt_resp_kidney",
}  # fmt: skip


@pytest.fixture(scope="module")
def con(demo_home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with closing(open_read(Home(demo_home))) as con:
        yield con


@pytest.mark.parametrize(
    ("paramcd", "median", "shortest", "longest"),
    [("PFS1", 9.45, 2, 30), ("PFS2", 4.55, 1, 11), ("PFSTOT", 13.98, 3, 41)],
)
def test_progression_free_survival(
    con: duckdb.DuckDBPyConnection, paramcd: str, median: float, shortest: int, longest: int
) -> None:
    row = con.execute(f"""
        select round(median_months, 2), round(min_months), round(max_months), n, n_event
        from reports.pfs_summary where paramcd = '{paramcd}'
    """).fetchall()
    assert row == [(median, shortest, longest, 28, 28)]


def test_the_paper_is_reconciled_and_nothing_differs(con: duckdb.DuckDBPyConnection) -> None:
    statuses = dict(con.execute("select fact_id, status from reports.reconciliation").fetchall())
    assert len(statuses) == 169
    assert [fact for fact, status in statuses.items() if status == "differs"] == []
    found = con.execute(
        "select fact_id, consistent_with from reports.reconciliation where status = 'misprint'"
    ).fetchall()
    assert dict(found) == MISPRINTS


def test_only_what_no_export_could_hold_is_not_derivable(con: duckdb.DuckDBPyConnection) -> None:
    rows = con.execute("select fact_id, kind from reports.reconciliation where status = 'not_derivable'").fetchall()
    assert {fact for fact, kind in rows if kind not in ("literature", "rt_schedule")} == NO_EXPORT_HOLDS


def test_every_count_of_the_tables_has_its_rows(con: duckdb.DuckDBPyConnection) -> None:
    """As many subjects stand behind a figure as it says (sites behind a dose are more than their subjects)."""
    wrong = con.execute("""
        with printed as (
            select row_key, n from reports.table1 union all select row_key, n from reports.table2
            union all select row_key, n from reports.table3
        ),
        behind as (select row_key, count(distinct usubjid) as n from reports.table_sources group by row_key)
        select row_key, p.n, b.n from printed p left join behind b using (row_key)
        where p.n > 0 and p.n is distinct from b.n and row_key not in ('dose', 'fractions')
    """).fetchall()
    assert wrong == []


def test_an_endpoint_says_where_its_date_comes_from(con: duckdb.DuckDBPyConnection) -> None:
    rows = con.execute("""
        select count(*), count(evntdesc), count(srcseq) filter (srcseq like '%:%'), count(*) filter (adt < startdt)
        from derived.adtte where cnsr = 0
        group by paramcd in ('PFS1', 'PFS2', 'PFSTOT') order by 1
    """).fetchall()
    assert rows == [(84, 84, 84, 0), (89, 89, 89, 0)]


def test_queries_of_the_reference_study_are_those_its_story_explains(con: duckdb.DuckDBPyConnection) -> None:
    """Three brain sites progress (the paper treats them); everything else is in order."""
    rows = con.execute("""
        select rule_id, count(*) from validated.findings where severity <> 'note' group by rule_id order by rule_id
    """).fetchall()
    assert rows == [("eligibility/brain_progressing", 3)]
