"""A plan is a file of a few rows: landing thousands of them takes no more statements of DuckDB than landing a few."""

from pathlib import Path
from typing import Any

import pytest

from pipelines import warehouse
from pipelines.deliveries import tables
from tests.centres.dicom_files import image, record, written

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
    assert gathered.names[0]["StudyID"] == 2
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
