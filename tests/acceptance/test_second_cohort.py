"""Another cohort gives other, right results: the line knows no figure of the paper."""

from pathlib import Path

import duckdb
import pytest

from pipelines import study, warehouse
from pipelines.simulate.cohort import random_cohort
from pipelines.warehouse import Home
from tests.acceptance import line

TRUTH = """
    select
        c.usubjid, c.pfs1_days, c.oligo_pattern, c.best_response_l1, c.n_treated_sites, c.srt_response, c.technique,
        c.second_pattern, coalesce(c.second_progression, c.death_date) - c.pazopanib_start as total_days
    from read_csv('{folder}/cohort.csv') c where coalesce(c.eligible, 'Y') = 'Y'
"""
FOUND = """
    select
        s.usubjid, p1.aval_days as pfs1_days, s.oligo_pattern, s.bor, s.n_treated_sites, s.srt_response, s.technique,
        s.second_pattern, case p.cnsr when 0 then p.aval_days end as total_days
    from store.derived.adsl s
    join store.derived.adtte p1 on p1.usubjid = s.usubjid and p1.paramcd = 'PFS1'
    join store.derived.adtte p on p.usubjid = s.usubjid and p.paramcd = 'PFSTOT'
    where s.eligible_fl = 'Y'
"""


def wrong(con: duckdb.DuckDBPyConnection, root: Path) -> list[tuple[object, ...]]:
    truth = TRUTH.format(folder=root / "truth")
    return con.execute(f"(({truth}) except ({FOUND})) union all (({FOUND}) except ({truth})) order by all").fetchall()


def first_failures(con: duckdb.DuckDBPyConnection, paramcd: str) -> list[tuple[object, ...]]:
    """By patient: the kinds of a first failure together are those of PFS2RT, also with deaths and censored times."""
    where = f"where paramcd = '{paramcd}' order by usubjid"
    return con.execute(f"select usubjid, startdt, adt, least(cnsr, 1) from store.derived.adtte {where}").fetchall()


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(11, marks=pytest.mark.long),
        pytest.param(12, marks=pytest.mark.slow),
        pytest.param(13, marks=pytest.mark.slow),
    ],
)
def test_the_truth_of_a_random_cohort_is_found(tmp_path: Path, seed: int) -> None:
    inputs = random_cohort(warehouse.memory(), 120, seed, tmp_path / "inputs")
    con = line.made_from(*inputs, tmp_path / "home", seed)
    assert wrong(con, tmp_path / "home") == []
    rows = con.execute("select median_months from store.reports.pfs_summary where paramcd = 'PFS1'").fetchall()
    assert rows != [(9.44558521560575,)]
    assert (
        con.execute("select count(*) from store.reports.reconciliation where status = 'differs'").fetchall()[0][0] > 20
    )
    assert first_failures(con, "FIRSTFAIL") == first_failures(con, "PFS2RT")
    kinds = con.execute(
        "select count(distinct evntdesc) from store.derived.adtte where paramcd = 'FIRSTFAIL'"
    ).fetchall()
    assert kinds == [(4,)]


@pytest.mark.long
def test_what_a_centre_reports_is_compared_and_never_copied(tmp_path: Path) -> None:
    """Reported responses, sums and progression dates are spoilt: responses and endpoints stay, and it is asked why."""
    reference = study.ROOT / "examples" / "reference_study"
    con = line.made_from(reference / "cohort.csv", reference / "lesions.csv", tmp_path / "home")
    derived = {name: line.content(con, name) for name in ("assessed.adrs", "derived.adtte")}
    asked = con.execute("select count(*) from store.validated.findings").fetchall()[0][0]
    con.close()
    spoilt = {
        "responses": "* replace (sum_mm + 7 as sum_mm, "
        "case overall_response when 'PD' then 'CR' else 'PD' end as overall_response)",
        "progressions_reported": "* replace (pddt + 100 as pddt, 'both' as pattern)",
        "restagings": "* replace (case response when 'PD' then 'CR' else 'PD' end as response)",
    }
    scratch = warehouse.memory()
    for path in sorted((tmp_path / "home" / "staged").glob("*/*.parquet")):
        if path.stem in spoilt:
            scratch.execute(f"create or replace table t as select {spoilt[path.stem]} from '{path}'")
            scratch.execute(f"copy t to '{path}' (format parquet)")
    con = line.open_study(Home(tmp_path / "home"))
    line.make(con)
    reported = [c.name for c in study.tables()["assessed.adrs"].columns].index("reported_avalc")
    without = [[v for i, v in enumerate(row) if i != reported] for row in line.content(con, "assessed.adrs")]
    assert without == [[v for i, v in enumerate(row) if i != reported] for row in derived["assessed.adrs"]]
    assert line.content(con, "derived.adtte") == derived["derived.adtte"]
    assert con.execute("select count(*) from store.validated.findings").fetchall()[0][0] > asked + 100
