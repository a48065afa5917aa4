"""A plan is a file of a few rows: landing thousands of them takes no more statements of DuckDB than landing a few."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines import warehouse
from pipelines.deliveries import tables
from tests.centres.dicom_files import image, record, written

MEASURE = """
import resource, sys
from pathlib import Path
from pipelines import warehouse
from pipelines.deliveries import tables
paths = [(p.name, p) for p in sorted(Path(sys.argv[1]).iterdir())]
with warehouse.memory(Path(sys.argv[2])) as con:
    con.execute("set threads = 1; set memory_limit = '100 MB'")
    found = tables.gather(con, paths, {"format": "dicom", "modality": "RTRECORD"}, lambda c: c != "StudyID")
    n = sum(tables.write(found, [("d", "s", name) for name, _ in paths], ["BeamNumber"], Path(sys.argv[3]), ""))
print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
SPEC = {"format": "dicom", "modality": "RTRECORD"}


class Counting:
    """A connection that counts what it is asked to do."""

    def __init__(self, con: Any) -> None:
        self.con, self.n_statements = con, 0

    def execute(self, query: str) -> Any:
        self.n_statements += 1
        return self.con.execute(query)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.con, name)


def landed(folder: Path, n_files: int) -> tuple[int, list[tuple[Any, ...]], list[int]]:
    """Statements, rows and number of rows per file of `n_files` records of two beams each, among them an image."""
    folder.mkdir()
    paths = []
    for n in range(n_files):
        paths.append((f"{n}.dcm", folder / f"{n}.dcm"))
        beams = ((1, "TREATMENT", "150", "NORMAL"), (2, "TREATMENT", "149", "NORMAL"))
        paths[-1][1].write_bytes(written(image() if n == 1 else record(f"1.{n}", n, *beams)))
    with warehouse.memory() as con:
        con.execute("set threads = 1")
        counting: Any = Counting(con)
        gathered = tables.gather(counting, paths, SPEC, lambda c: c != "StudyID")
        target = folder / "rows.parquet"
        about = [(f"d{n % 2}", f"sha{n}", name) for n, (name, _) in enumerate(paths)]
        counts = tables.write(
            gathered, about, ["CurrentFractionNumber", "BeamNumber", "Sent"], target, "(format parquet)"
        )
        rows = con.execute(f"select * from '{target}'").fetchall()
    assert [number for number, _ in gathered.notes] == [1]
    assert gathered.not_taken == {"StudyID": 2 * (n_files - 1)} and gathered.names[0][:2] == ("PatientID", "StudyID")
    return counting.n_statements, rows, counts


def test_statements_do_not_grow_with_files(tmp_path: Path) -> None:
    few, _, _ = landed(tmp_path / "few", 3)
    many, rows, counts = landed(tmp_path / "many", 60)
    assert many == few
    assert counts == [2, 0] + [2] * 58
    expected = [
        (f"d{n % 2}", f"sha{n}", f"{n}.dcm", "1", str(n), str(beam), None)
        for n in range(60) if n != 1 for beam in (1, 2)
    ]  # fmt: skip
    assert rows == expected


def test_rows_flushed_in_parts_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_ROWS", 7)
    _, rows, counts = landed(tmp_path / "parts", 20)
    assert [row[4] for row in rows] == [str(n) for n in range(20) if n != 1 for _ in (1, 2)]
    assert sum(counts) == len(rows)


@pytest.mark.slow
def test_memory_grows_by_little_with_the_number_of_files(tmp_path: Path) -> None:
    """Of each file no more stays than its name and where it lies: the rows are on disk, their columns known once."""

    def peak(n: int) -> int:
        folder, scratch = tmp_path / f"{n}", tmp_path / f"scratch{n}"
        folder.mkdir()
        scratch.mkdir()
        one = written(record("2.1", 1, *((beam, "TREATMENT", "150", "NORMAL") for beam in (1, 2))))
        for number in range(n):
            (folder / f"{number:06}.dcm").write_bytes(one)
        command = [sys.executable, "-c", MEASURE, str(folder), str(scratch), str(tmp_path / "out.parquet")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        n_rows, kilobytes = map(int, done.stdout.split())
        assert n_rows == 2 * n
        return kilobytes

    # with its own columns, counts and SQL each file would take about 10 KB
    assert peak(6_000) < peak(1_000) + 30_000
