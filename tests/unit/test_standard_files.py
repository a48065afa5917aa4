"""Anybody's CSV, Parquet and XPT: the same rows, names in any case, each row with its place."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.errors import UsageError
from pipelines.readers.csv import ready
from pipelines.readers.standard import _reader, read_standard
from tests.unit.xpt_file import write_xpt

WANTED = ["PARAMCD", "AVAL"]


def csv_file(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "ADTTE.CSV"
    path.write_bytes(text.encode(encoding))
    return path


def rows_of(path: Path, optional: tuple[str, ...] = ()) -> list[tuple[str | None, ...]]:
    table = read_standard(path, WANTED, optional).rows
    return [tuple(row.values()) for row in table.to_pylist()]


def test_three_formats_give_the_same_rows(tmp_path: Path) -> None:
    text = csv_file(tmp_path, "paramcd,Aval,SEX\nPFS,1.5,F\nPFS,,M\nOS,-250,\nOS,0,F\n")
    typed = tmp_path / "adtte.parquet"
    with duckdb.connect() as con:
        con.execute(f"copy (select paramcd as ParamCd, aval::double as aval, sex from '{text}') to '{typed}'")
    transport = tmp_path / "adtte.xpt"
    write_xpt(
        transport, {"PARAMCD": ["PFS", "PFS", "OS", "OS"], "AVAL": [1.5, None, -250, 0], "SEX": ["F", "M", "", "F"]}
    )
    found = {path.suffix: rows_of(path, ("SEX",)) for path in (text, typed, transport)}
    places = {suffix: [row[0] for row in rows] for suffix, rows in found.items()}
    assert places == {".CSV": ["2", "3", "4", "5"], ".parquet": ["1", "2", "3", "4"], ".xpt": ["1", "2", "3", "4"]}
    values = {suffix: [(p, float(v) if v else v, s) for _, p, v, s in rows] for suffix, rows in found.items()}
    expected = [("PFS", 1.5, "F"), ("PFS", None, "M"), ("OS", -250, None), ("OS", 0, "F")]
    assert values == {".CSV": expected, ".parquet": expected, ".xpt": expected}


def test_the_last_record_of_a_transport_file_stays_where_it_ends_in_blanks(tmp_path: Path) -> None:
    """The file is filled up with blanks, so that they look like those of the record before them."""
    path = tmp_path / "adtte.xpt"
    write_xpt(path, {"PARAMCD": ["PFS", "OS"], "AVAL": [1.5, 0], "REASON": ["death, without progression", ""]})
    assert [(place, name, float(v or -1)) for place, name, v in rows_of(path)] == [("1", "PFS", 1.5), ("2", "OS", 0)]


def test_other_columns_are_ignored_and_optional_ones_may_be_missing(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "\ufeffX,AVAL,PARAMCD\nsecret,1,A\n")
    assert read_standard(path, WANTED, ["AVALU"]).rows.column_names == ["source_row", "paramcd", "aval"]
    assert rows_of(path) == [("2", "A", "1")]


def test_damaged_records_are_refused_one_by_one(tmp_path: Path) -> None:
    lines = ["PARAMCD,AVAL,NOTE", "A,1,", "A,2", '"A', 'B",3,x', "A,4,0,9", 'A,"5"x,0', "", "A,6,1", "A"]
    read = read_standard(csv_file(tmp_path, "\r\n".join(lines) + "\r\n"), WANTED)
    assert [tuple(row.values()) for row in read.rows.to_pylist()] == [
        ("2", "A", "1"),
        ("4", "A\nB", "3"),
        ("9", "A", "6"),
    ]
    assert read.rejected == (
        ("3", "2 cells where the header has 3"),
        ("6", "4 cells where the header has 3"),
        ("7", "quotes that do not pair"),
        ("10", "1 cells where the header has 3"),
    )


@pytest.mark.parametrize("closed", [[], ['A,8,"later']], ids=["never closed", "closed by another one"])
def test_a_quote_that_nothing_closes_takes_no_other_line(tmp_path: Path, closed: list[str]) -> None:
    lines = ["PARAMCD,AVAL,NOTE", "A,1,", 'A,2,"ok', *(f"A,{n},x" for n in range(3, 8)), *closed, "A,9,x"]
    read = read_standard(csv_file(tmp_path, "\n".join(lines) + "\n"), WANTED)
    assert [row["aval"] for row in read.rows.to_pylist()] == ["1", "3", "4", "5", "6", "7", "9"]
    assert read.rejected == tuple((f"{n}", "quotes that do not pair") for n in (3, 9)[: 1 + len(closed)])


def test_a_file_of_damaged_records_only_has_no_rows(tmp_path: Path) -> None:
    read = read_standard(csv_file(tmp_path, "PARAMCD,AVAL\nA,1,2\n"), WANTED)
    assert (read.rows.num_rows, len(read.rejected)) == (0, 1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("PARMCD,AVAL\nA,1\n", "no column PARAMCD; the nearest is PARMCD"),
        ("PARAMCD,aval_days,x\nA,1,2\n", "no column AVAL; the nearest is aval_days"),
        ("PARAMCD,TULNKID\nA,1\n", r"no column AVAL\."),  # nothing is like it
        ("PARAMCD;AVAL\nA;1\n", "separated by commas"),
        ("", "a header"),
        ("PARAMCD,AVAL\nA,1\0\n", "NUL"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read_standard(csv_file(tmp_path, text), WANTED)


def test_other_encodings_formats_and_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"text in UTF-8\. Export it again in UTF-8\.$"):
        read_standard(csv_file(tmp_path, "PARAMCD,AVAL\né,1\n", "cp1252"), WANTED)
    for name in ("adtte.parquet", "adtte.xpt", "adtte.sas7bdat"):
        (tmp_path / name).write_bytes(b"PARAMCD,AVAL\n" * 50)
        with pytest.raises(UsageError, match=name):
            read_standard(tmp_path / name, WANTED)
    with pytest.raises(UsageError, match="no such file"):
        read_standard(tmp_path / "none.csv", WANTED)


class Uncopied(list[str]):
    """Lines of which one is given at a time."""

    def __getitem__(self, at: Any) -> Any:
        assert isinstance(at, int), "a file that begins again at each of its lines would be copied each time"
        return super().__getitem__(at)


def test_a_quote_in_each_of_many_lines_copies_none_of_them(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "paramcd,aval\n" + '"PFS,1\n' * 3000)
    assert len(read_standard(path, WANTED, ()).rejected) == 3000
    text = ready(path, {}, tmp_path / "ready.csv")
    lines = Uncopied(path.read_text().splitlines(keepends=True))
    assert next(_reader(text, lines, 0)) == ["paramcd", "aval"]
