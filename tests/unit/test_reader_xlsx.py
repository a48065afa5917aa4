"""Workbooks: what cells become, what is noted of them, and what is refused before or while it is opened."""

import datetime
import os
import struct
import zipfile
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter

from pipelines.errors import UnreadableFile
from pipelines.readers import biff, xlsx
from pipelines.readers.marks import Refused
from pipelines.readers.read import batches, notes_of
from pipelines.readers.workbook import marks_of_book

XLS = Path(__file__).parents[1] / "centres" / "me2_invented.xls"
SHEET = {"format": "xlsx", "sheet": "A"}
SPREADSHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def write(path: Path, fill: Callable[[Any, Any], None], name: str = "A") -> Path:
    with xlsxwriter.Workbook(str(path)) as book:
        fill(book, book.add_worksheet(name))
    return path


def rows(path: Path, **spec: Any) -> list[dict[str, str | None]]:
    return [row for _, batch in batches([(path.name, path)], SHEET | spec) for row in batch.to_pylist()]


def expected(path: Path, **spec: Any) -> str:
    """What was expected of a workbook that is refused."""
    with pytest.raises(UnreadableFile) as error:
        rows(path, **spec)
    (problem,) = error.value.problems
    assert problem.source_file == path.name and problem.action
    return problem.expected


def changed(path: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """A copy of a workbook whose members are changed, or left out where the change gives None."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


def with_sheet(path: Path, target: Path, body: bytes, before: bytes = b"") -> Path:
    """A copy of a workbook whose first sheet holds other rows."""
    xml = b'%s<worksheet xmlns="%s"><sheetData>%s</sheetData></worksheet>' % (before, SPREADSHEET.encode(), body)
    return changed(path, target, lambda name, old: xml if name == "xl/worksheets/sheet1.xml" else old)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    def fill(_: Any, sheet: Any) -> None:
        sheet.write_row(0, 0, ["Id", "mm"])
        sheet.write_row(1, 0, ["1", 28.5])

    return write(tmp_path / "plain.xlsx", fill)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    xlsx._workbook.cache_clear()


def test_a_cell_becomes_the_text_that_it_stands_for(tmp_path: Path) -> None:
    def fill(book: Any, sheet: Any) -> None:
        day = book.add_format({"num_format": "dd/mm/yyyy"})
        minute = book.add_format({"num_format": "dd/mm/yyyy hh:mm"})
        sheet.write_row(1, 1, ["Id", "day", "minute", "serial", "number", "whole", "text", "yes"])
        sheet.write_string(3, 1, "007")
        sheet.write_datetime(3, 2, datetime.datetime(2014, 2, 28), day)
        sheet.write_datetime(3, 3, datetime.datetime(2014, 2, 28, 8, 30), minute)
        sheet.write_row(3, 4, [41698, 34.1, 28.0, "28,0\u200b", True, "lost?"])

    (row,) = rows(write(tmp_path / "b.xlsx", fill), header={"find": ["Id"], "within": 3})
    assert row == {
        "source_row": "A!4", "Id": "007", "day": "2014-02-28", "minute": "2014-02-28 08:30:00", "serial": "41698",
        "number": "34.1", "whole": "28", "text": "28,0\u200b", "yes": "TRUE", "column_10": "lost?",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("mmm-yy", "03/2014"), ("mm/yyyy", "03/2014"), ('[$-410]mmmm" del "yyyy;@', "03/2014"), ("yyyy", "2014"),
        ("dd/mm/yyyy", "2014-03-01"), ("yyyy-mm-dd;@", "2014-03-01"), ("d-mmm", "2014-03-01"), ('"day" 0', "41699"),
    ],
)  # fmt: skip
def test_a_date_whose_cell_shows_no_day_has_none(tmp_path: Path, code: str, text: str) -> None:
    def fill(book: Any, sheet: Any) -> None:
        sheet.write_row(0, 0, ["id", "day", "other"])
        sheet.write_row(1, 0, ["1"])
        sheet.write_number(1, 1, 41699, book.add_format({"num_format": code}))
        sheet.write_datetime(1, 2, datetime.datetime(2014, 3, 1), book.add_format({"num_format": "dd/mm/yyyy"}))

    (row,) = rows(write(tmp_path / "d.xlsx", fill), sheet="A")
    assert (row["day"], row["other"]) == (text, "2014-03-01")


def test_a_date_of_an_xls_whose_cell_shows_no_day_has_none(tmp_path: Path) -> None:
    """All of the file's dates have one format, which is another here."""
    months, spec = tmp_path / "months.xls", {"sheet": "Lesioni", "header": {"find": ["Codice"], "within": 9}}
    months.write_bytes(XLS.read_bytes().replace(b"DD/MM/YYYY", b"MMMM\\ YYYY"))
    days = [list(row.values()) for row in rows(XLS, **spec)]
    now = [list(row.values()) for row in rows(months, **spec)]
    pairs = list(zip(chain(*now), chain(*days), strict=True))
    assert {pair for pair in pairs if pair[0] != pair[1]} == {("02/2014", "2014-02-28")}


@pytest.mark.parametrize(
    ("kind", "content", "number"),
    [
        (biff.NUMBER, struct.pack("<HHHd", 0, 1, 7, 41699.5), 41699.5),
        (biff.RK, struct.pack("<HHHi", 0, 1, 7, 41699 << 2 | 2), 41699),
        (biff.RK, struct.pack("<HHHi", 0, 1, 7, 4169900 << 2 | 3), 41699),
        (biff.RK, struct.pack("<HHHI", 0, 1, 7, 0x40E45C60), 41699),
        (biff.FORMULA, struct.pack("<HHHd", 0, 1, 7, 41699.0) + bytes(8), 41699),
    ],
)  # fmt: skip
def test_a_number_of_an_xls_is_found_however_it_is_kept(kind: int, content: bytes, number: float) -> None:
    assert [*biff._numbers(content, kind, 0, 1)] == [(1, 7, number)]


def test_each_number_of_a_row_of_an_xls_has_its_own_style() -> None:
    row = struct.pack("<HHHiHiH", 0, 1, 7, 41699 << 2 | 2, 8, 41700 << 2 | 2, 2)
    assert [*biff._numbers(row, biff.MULRK, 0, 2)] == [(1, 7, 41699), (2, 8, 41700)]


def test_a_year_typed_into_a_cell_of_years_is_no_day_of_1905(tmp_path: Path) -> None:
    def fill(book: Any, sheet: Any) -> None:
        sheet.write_row(0, 0, ["year"])
        sheet.write_number(1, 0, 2014, book.add_format({"num_format": "yyyy"}))

    (row,) = rows(write(tmp_path / "y.xlsx", fill), sheet="A")
    assert row["year"] == "2014"


def test_a_formula_gives_its_result_and_without_one_its_text_as_an_error_does(tmp_path: Path) -> None:
    def fill(_: Any, sheet: Any) -> None:
        sheet.write_row(0, 0, ["Id", "sum", "blank", "error"])
        sheet.write_string(1, 0, "1")
        sheet.write_formula(1, 1, "=28.5+3", None, 31.5)
        sheet.write_formula(1, 2, '=""', None, "")
        sheet.write_formula(1, 3, "=NA()", None, "#N/A")

    made = write(tmp_path / "b.xlsx", fill)
    assert rows(made)[0]["sum"] == "31.5" and rows(made)[0]["error"] == "#N/A"
    book = openpyxl.Workbook()  # it calculates nothing, as many programs that write workbooks
    book.active.title = "A"
    book.active.append(["Id", "sum", "other"])
    book.active.append(["1", '=B9/10 & "<"', None])
    book.active.append([None, None, "=A1"])
    book.save(tmp_path / "o.xlsx")
    assert rows(tmp_path / "o.xlsx") == [
        {"source_row": "A!2", "Id": "1", "sum": '=B9/10 & "<"', "other": None},
        {"source_row": "A!3", "Id": None, "sum": None, "other": "=A1"},
    ]
    blank = b'<row><c t="inlineStr"><is><t>Id</t></is></c><c t="inlineStr"><is><t>x</t></is></c></row>'
    cached = b'<row r="2"><c r="A2" t="str"><f>IF(1,"","")</f><v></v></c><c r="B2"><v>1</v></c></row>'
    assert rows(with_sheet(made, tmp_path / "c.xlsx", blank + cached)) == [{"source_row": "A!2", "Id": None, "x": "1"}]


def test_hidden_rows_are_read_and_noted_hidden_sheets_are_read_when_named(tmp_path: Path) -> None:
    def fill(book: Any, sheet: Any) -> None:
        for row, text in enumerate(["Id", "1", "2", None, "4"]):
            if text:
                sheet.write_string(row, 0, text)
        for row in (0, 2, 3):
            sheet.set_row(row, None, None, {"hidden": True})
        old = book.add_worksheet("vecchio")
        old.write_column(0, 0, ["Id", "old"])
        old.hide()

    path = write(tmp_path / "b.xlsx", fill)
    ((name, batch),) = batches([("x/b.xlsx", path)], SHEET)
    assert batch["Id"].to_pylist() == ["1", "2", "4"]
    note = ["structure/hidden_row", "A!3", None, None, "a row that is not hidden in the sheet"]
    assert (name, notes_of(batch)) == ("x/b.xlsx", [note])
    assert "vecchio" not in xlsx._workbook(path, *_signature(path), "").sheets
    assert rows(path, sheet="vecchio") == [{"source_row": "vecchio!2", "Id": "old"}]


def _signature(path: Path) -> tuple[int, int]:
    return path.stat().st_size, path.stat().st_mtime_ns


def test_a_long_sheet_comes_in_batches_and_the_workbook_is_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(book: Any, sheet: Any) -> None:
        other = book.add_worksheet("B")
        for page in (sheet, other):
            page.write_row(2, 0, ["Id"] + [f"c{i}" for i in range(599)])
            for row in range(2500):
                page.write_number(row + 3, 0, row)
        other.write_string(2502, 3, "late")

    path = write(tmp_path / "b.xlsx", fill)
    made = [batch for _, batch in batches([("b", path)], SHEET | {"header": {"find": ["Id"], "within": 9}})]
    assert len(made) == 3 and made[1].schema == made[2].schema
    assert [row for batch in made for row in batch["Id"].to_pylist()] == [str(n) for n in range(2500)]
    assert made[-1]["source_row"].to_pylist()[-1] == "A!2503"
    monkeypatch.setattr(xlsx.subprocess, "run", None)
    assert rows(path, sheet="B", header={"find": ["Id"], "within": 9})[-1]["c2"] == "late"


def test_nothing_is_left_behind(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(xlsx.tempfile, "tempdir", str(folder))
    assert rows(plain) and not list(folder.iterdir())
    files = len(list(Path("/proc/self/fd").iterdir()))
    xlsx._workbook.cache_clear()
    assert len(list(Path("/proc/self/fd").iterdir())) == files - 1


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (["Id", "x", "ID"], "each column once (ID, Id)"),
        (["Id", "source_row"], "each column once (source_row)"),
        (["column_2", None, "x"], "each column once (column_2)"),
        (["Nr"], "a header with columns Id"),
    ],
)
def test_a_header_that_does_not_tell_columns_apart(tmp_path: Path, header: list[str | None], wanted: str) -> None:
    path = write(tmp_path / "b.xlsx", lambda _, sheet: sheet.write_row(0, 0, header))
    find = {"find": ["Id"]} if "Nr" in header else {}
    assert expected(path, header=find) == wanted


def test_two_header_rows_are_two_rows_of_the_sheet(tmp_path: Path) -> None:
    path = write(tmp_path / "b.xlsx", lambda _, s: (s.write_row(0, 0, ["Id", "Basale"]), s.write_row(2, 1, ["mm"])))
    assert expected(path, header={"find": ["Id", "mm"], "rows": 2, "within": 5}) == "a header with columns Id, mm"


class TestRefused:
    """Each is a clear refusal, never the end of this process."""

    def test_what_is_no_workbook(self, plain: Path, tmp_path: Path) -> None:
        for text in (b"Id;mm\n1;2\n", b"<html>Id</html>", b"\0" * 5000, b"PK"):
            (tmp_path / "x.xlsx").write_bytes(text)
            assert expected(tmp_path / "x.xlsx") == "an xlsx or xls workbook"
            os.utime(tmp_path / "x.xlsx", ns=(1, len(text)))
        (tmp_path / "d.zip").write_bytes(b"")
        with zipfile.ZipFile(tmp_path / "d.zip", "w") as other:
            other.writestr("word/document.xml", "<a/>")
        assert expected(tmp_path / "d.zip") == "a workbook that is complete"
        for part in ("xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/_rels/workbook.xml.rels"):
            path = changed(plain, tmp_path / f"{part[-9:-5]}.xlsx", lambda n, c, gone=part: None if n == gone else c)
            assert expected(path) == "a workbook that is complete"

    def test_a_bomb(self, plain: Path, tmp_path: Path) -> None:
        path = tmp_path / "bomb.xlsx"
        with zipfile.ZipFile(plain) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new:
            for name in old.namelist():
                new.writestr(name, old.read(name))
            with new.open("xl/media/1.bin", "w") as big:
                for _ in range(600):
                    big.write(b"\0" * (1 << 20))
        assert path.stat().st_size < 4 << 20
        assert expected(path) == "a workbook of at most 512 MB unzipped"

    @pytest.mark.parametrize("prefix", [b"", b"x:"])
    @pytest.mark.parametrize("quote", [b'"', b"'"])
    @pytest.mark.parametrize(
        ("row", "cell", "wanted"),
        [
            (b"1048576", b"XFD1048576", "sheets without cells far away from the others"),
            (b"1048577", b"B1048577", "cells between A1 and XFD1048576"),
            (b"9", b"B9999999", "cells between A1 and XFD1048576"),
            (b"9", b"XFE9", "cells between A1 and XFD1048576"),
            (b"9", b"ZZZZ9999999", "cells between A1 and XFD1048576"),
            (b"99999999999", b"B9", "cells between A1 and XFD1048576"),
            (b"9", b"xfd1048576", "cells between A1 and XFD1048576"),
            (b"9", b"&#66;9999999", "cells between A1 and XFD1048576"),
        ],
    )
    def test_a_cell_far_away(
        self, plain: Path, tmp_path: Path, prefix: bytes, quote: bytes, row: bytes, cell: bytes, wanted: str
    ) -> None:
        body = (
            b"""<P:row ht='9' r="1"><P:c r="A1"><P:v>1</P:v></P:c></P:row>
            <P:row r = "%s"><P:c s="1" r="%s"><P:v>1</P:v></P:c></P:row>
            <P:row r="12"><P:c r="B12"><P:v>1</P:v></P:c></P:row>"""
            % (row, cell)
        ).replace(b"P:", prefix)
        main = b'xmlns%s="%s"' % (b":x" if prefix else b"", SPREADSHEET.encode())
        sheet = b"<%sworksheet %s><%ssheetData>%s</%ssheetData></%sworksheet>" % (
            prefix, main, prefix, body.replace(b'"', quote), prefix, prefix,
        )  # fmt: skip
        path = changed(plain, tmp_path / "far.xlsx", lambda n, c: sheet if n == "xl/worksheets/sheet1.xml" else c)
        # found by its XML, before anything opens it
        with pytest.raises(Refused, match=wanted):
            marks_of_book(path)
        assert expected(path) == wanted

    def test_the_last_row_and_the_last_column_are_read(self, plain: Path, tmp_path: Path) -> None:
        body = b"""<row r="1"><c r="A1"><v>1</v></c></row><row r="%s"><c r="%s"><v>2</v></c></row>"""
        for name, row, cell in (("row", b"1048576", b"B1048576"), ("column", b"2", b"XFD2")):
            found = rows(with_sheet(plain, tmp_path / f"{name}.xlsx", body % (row, cell)))
            assert [r["source_row"] for r in found] == [f"A!{row.decode()}"]

    def test_entities(self, plain: Path, tmp_path: Path) -> None:
        doctype = b'<!DOCTYPE worksheet [<!ENTITY a "1"><!ENTITY b "&a;&a;&a;">]>'
        row = b'<row r="1"><c r="A1" t="inlineStr"><is><t>&b;</t></is></c></row>'
        wanted = "XML without a document type (DOCTYPE)"
        assert expected(with_sheet(plain, tmp_path / "b.xlsx", row, doctype)) == wanted
        strings = changed(plain, tmp_path / "s.xlsx", lambda n, c: doctype + c if n == "xl/sharedStrings.xml" else c)
        assert expected(strings) == wanted

    def test_one_long_string_in_many_cells_ends_at_the_limit_of_memory(
        self, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(xlsx, "MEMORY", 600 << 20)
        text = b'<sst xmlns="%s" count="1"><si><t>%s</t></si></sst>' % (SPREADSHEET.encode(), b"x" * 100_000)
        body = b"".join(b'<row r="%d"><c r="A%d" t="s"><v>0</v></c></row>' % (n, n) for n in range(1, 20_000))
        path = with_sheet(plain, tmp_path / "b.xlsx", body)
        path = changed(path, tmp_path / "c.xlsx", lambda n, c: text if n == "xl/sharedStrings.xml" else c)
        assert expected(path) == "a workbook that opens within the limits of memory and time"

    def test_time_is_limited(self, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(xlsx, "SECONDS", 0.01)
        assert expected(plain) == "a workbook that opens within the limits of memory and time"

    def test_macros_passwords_and_other_calendars(self, plain: Path, tmp_path: Path) -> None:
        macros = changed(plain, tmp_path / "m.xlsx", lambda _, content: content)
        with zipfile.ZipFile(macros, "a") as book:
            book.writestr("xl/vbaProject.bin", b"x")
        assert expected(macros) == "a workbook without macros"
        locked = bytearray(plain.read_bytes())
        for at in range(len(locked)):
            if locked[at : at + 4] == b"PK\x01\x02":
                locked[at + 8] |= 1
        (tmp_path / "l.xlsx").write_bytes(locked)
        assert expected(tmp_path / "l.xlsx") == "a workbook without a password"
        mac = changed(plain, tmp_path / "d.xlsx", lambda n, c: c.replace(b"<workbookPr ", b'<workbookPr date1904="1" '))
        assert expected(mac) == "a workbook that counts days from 1900"

    def test_nul_bytes_and_cells_that_hide_where_they_stand(self, plain: Path, tmp_path: Path) -> None:
        nul = b'<row r="1"><c r="A1" t="inlineStr"><is><t>Id\0</t></is></c></row>'
        assert expected(with_sheet(plain, tmp_path / "n.xlsx", nul)) in (
            "text without NUL bytes", "a workbook that is complete",
        )  # fmt: skip
        error = b'<row><c t="e"><v>#REF!</v></c></row>'
        assert expected(with_sheet(plain, tmp_path / "e.xlsx", error)) == "cells that say where they stand"

    def test_the_names_of_sheets_are_told(self, plain: Path) -> None:
        assert expected(plain, sheet="Pazienti") == "a sheet named Pazienti"
