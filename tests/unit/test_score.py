"""The score itself, on a few invented findings: it must see what it is there to see."""

from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from pipelines.simulate.score import score

TRUTH = """centre,delivery,source_file,source_row,field,defect_kind,rule_id
c1,d,A.csv,2,mm,diameter_in_cm,plausibility/diameter_jump
c1,d,A.csv,3,mm,diameter_missing,recist/diameter_missing
"""
JUMP = ("plausibility/diameter_jump", "c1", "A.csv", "2", "mm")
BESIDE = ("recist/sum_differs", "c1", "A.csv", "9", "sum_mm")
ALWAYS = ("eligibility/brain_progressing", "c1", "A.csv", "5", "organ")  # the clean cohort raises it, too


@pytest.mark.parametrize("more", [[], [BESIDE]], ids=["none", "one"])
def test_a_finding_at_a_clean_field_is_counted(tmp_path: Path, more: list[tuple[str, ...]]) -> None:
    (tmp_path / "defects.csv").write_text(TRUTH, encoding="utf-8")
    with closing(duckdb.connect()) as con:
        for name, rows in (("clean", [ALWAYS]), ("spoiled", [ALWAYS, JUMP, *more])):
            con.execute(f"attach ':memory:' as {name}; create schema {name}.validated")
            columns = "rule_id varchar, centre varchar, source_file varchar, source_row varchar, field varchar"
            con.execute(f"create table {name}.validated.findings ({columns})")
            con.executemany(f"insert into {name}.validated.findings values (?, ?, ?, ?, ?)", rows)
        got = score(con, "spoiled", "clean", tmp_path / "defects.csv")
    assert got["beside"] == more
    assert (got["planted"], got["found"], got["kinds"], got["findings"]) == (2, 1, 2, 1 + len(more))
    assert [row[3] for row in got["missed"]] == ["3"]
    assert got["families"] == {"plausibility": {"planted": 1, "found": 1}, "recist": {"planted": 1, "found": 0}}
