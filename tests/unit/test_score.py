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
JUMP = ("plausibility/diameter_jump", "c1", "A.csv", "2", "mm", "query", "S-1")
# the clean cohort raises it, too
ALWAYS = ("eligibility/brain_progressing", "c1", "A.csv", "5", "organ", "exclude", "S-9")
BESIDE = ("recist/sum_differs", "c1", "A.csv", "9", "sum_mm", "query", "S-1")
FOLLOWS = ("eligibility/oligo_progression", "c1", "A.csv", "7", "oligodt", "exclude", "S-1")
OF_ANOTHER = ("eligibility/oligo_progression", "c1", "A.csv", "8", "oligodt", "exclude", "S-2")


@pytest.mark.parametrize(
    ("more", "beside", "follows"),
    [([], [], []), ([BESIDE], [BESIDE], []), ([FOLLOWS], [], [FOLLOWS]), ([OF_ANOTHER], [OF_ANOTHER], [])],
    ids=["none", "false", "an exclusion that follows", "an exclusion of another subject"],
)
def test_a_finding_at_a_clean_field_is_counted(
    tmp_path: Path, more: list[tuple[str, ...]], beside: list[tuple[str, ...]], follows: list[tuple[str, ...]]
) -> None:
    (tmp_path / "defects.csv").write_text(TRUTH, encoding="utf-8")
    columns = ("rule_id", "centre", "source_file", "source_row", "field", "severity", "usubjid")
    with closing(duckdb.connect()) as con:
        for name, rows in (("clean", [ALWAYS]), ("spoiled", [ALWAYS, JUMP, *more])):
            con.execute(f"attach ':memory:' as {name}; create schema {name}.validated")
            con.execute(f"create table {name}.validated.findings ({', '.join(f'{c} varchar' for c in columns)})")
            con.executemany(f"insert into {name}.validated.findings values (?, ?, ?, ?, ?, ?, ?)", rows)
        got = score(con, "spoiled", "clean", tmp_path / "defects.csv")
    assert (got["beside"], got["follows"]) == ([b[:5] for b in beside], [f[:5] for f in follows])
    assert (got["planted"], got["found"], got["kinds"], got["findings"]) == (2, 1, 2, 1 + len(more))
    assert [row[3] for row in got["missed"]] == ["3"]
    assert got["families"] == {"plausibility": {"planted": 1, "found": 1}, "recist": {"planted": 1, "found": 0}}
