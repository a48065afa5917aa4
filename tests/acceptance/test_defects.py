"""A cohort with planted defects beside the same cohort without: what is found, and that nobody else is touched."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from line import TABLES, make, open_study, stage

from pipelines.simulate.defect_entries import kinds
from pipelines.simulate.score import score
from pipelines.simulate.simulate import simulate
from pipelines.warehouse import Home

PATIENTS, SEED, RATE = 300, 7, 0.02
# what a subject's own rows are compared in; where a row stood in the file is no value
COMPARED = [t for t in TABLES if t.startswith("harmonised.")] + ["assessed.adrs", "derived.adtte"]
PLACE = ("delivery_id", "file_sha256", "source_file", "source_row", "srcseq")


pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """Both warehouses attached as `clean` and `spoiled`, and where the truth lies."""
    root = tmp_path_factory.mktemp("defects")
    with closing(duckdb.connect()) as con:
        for name, rate in (("clean", 0.0), ("spoiled", RATE)):
            simulate(root / name, patients=PATIENTS, seed=SEED, defects=rate)
            home = Home(root / name)
            stage(home)
            with closing(open_study(home)) as store:
                make(store)
            con.execute(f"attach '{home.database}' as {name} (read_only)")
        yield con, root / "spoiled" / "truth" / "defects.csv"


def test_planted_defects_are_found(runs: tuple[duckdb.DuckDBPyConnection, Path]) -> None:
    """All of the structure, 98 % over all, and hardly a finding that points at a clean field."""
    con, truth = runs
    assert con.execute("from clean.validated.findings where rule_id = 'ctcae/grade_and_laboratory'").fetchall() == []
    got = score(con, "spoiled", "clean", truth)
    planted = {kind for (kind,) in con.execute(f"select distinct defect_kind from read_csv('{truth}')").fetchall()}
    assert planted == set(kinds()), "every kind that is declared is drawn"
    structure = got["families"]["structure"]
    assert structure["found"] == structure["planted"], got["missed"]
    assert got["found"] >= 0.98 * got["planted"], got["missed"]
    assert got["follows"], "this cohort has subjects that a planted defect excludes: what is looked at is not empty"
    assert len(got["beside"]) <= 0.01 * got["findings"], got["beside"]


def test_other_subjects_stay_as_they_are(runs: tuple[duckdb.DuckDBPyConnection, Path]) -> None:
    """A subject without a defect in its records has the same rows as in the clean run, in every table."""
    con, truth = runs
    tables = ("adverse_events", "labs", "surgeries")
    lost = " union all ".join(
        f"select usubjid, centre, source_file, source_row from clean.harmonised.{t}" for t in tables
    )
    con.execute(f"""
        create or replace temp table touched as
        select distinct usubjid from spoiled.validated.findings f
        semi join read_csv('{truth}', all_varchar = true) d using (centre, source_file, source_row)
        union
        -- a record of an unknown patient stands where the clean run has the subject that lost it
        select distinct usubjid from ({lost}) r
        semi join read_csv('{truth}', all_varchar = true) d using (centre, source_file, source_row)
    """)
    for table in COMPARED:
        columns = [c[0] for c in con.execute(f"describe clean.{table}").fetchall() if c[0] not in PLACE]
        listed = ", ".join(columns)
        for one, other in (("clean", "spoiled"), ("spoiled", "clean")):
            changed = con.execute(f"""
                select distinct usubjid
                from (select {listed} from {one}.{table} except all select {listed} from {other}.{table})
                anti join touched using (usubjid)
            """).fetchall()
            assert not changed, (table, one, changed)
