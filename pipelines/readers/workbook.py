"""The child process that opens a workbook: limits first, then every sheet as Arrow batches on standard output.

A hostile workbook can end the process that reads it, and no Python code can prevent that; so this is one of its own.
"""

import datetime
import errno
import json
import os
import resource
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from pipelines.readers import biff
from pipelines.readers.marks import COMPLETE, EPOCH, NO_DAYS, Marks, Refused, marks_of_zip

MOST_CELLS = 20_000_000
MOST_XLS = 128 << 20
MOST_WRITTEN = 4 << 30
NO_ROOM = 28  # exit code when the disk of the parent's temporary file is full
BATCH_CELLS = 500_000
ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def marks_of_book(path: Path) -> dict[str, Marks]:
    """Sheet -> its marks, without any of it in memory; raises `Refused` for what must not be opened."""
    with path.open("rb") as file:
        head = file.read(len(OLE))
    if head == OLE:
        if path.stat().st_size > MOST_XLS:
            raise Refused(f"an xls workbook of at most {MOST_XLS >> 20} MB")
        return _within(biff.marks(path.read_bytes()))
    if not head.startswith(ZIP):
        raise Refused("an xlsx or xls workbook")
    try:
        with zipfile.ZipFile(path) as book:
            return _within(marks_of_zip(book))
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, KeyError):
        raise Refused(COMPLETE) from None


def _within(found: dict[str, Marks]) -> dict[str, Marks]:
    if any(sheet.width * sheet.last_row > MOST_CELLS for sheet in found.values()):
        raise Refused("sheets without cells far away from the others")
    return found


def as_text(cell: Any) -> str:
    """One cell as text: nothing is rounded, nothing is guessed."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    if isinstance(cell, datetime.datetime) and cell.time() != datetime.time():
        return cell.isoformat(" ")
    if isinstance(cell, datetime.date):
        day = datetime.date(cell.year, cell.month, cell.day)
        number = (day - EPOCH).days
        return str(number) if number in NO_DAYS else day.isoformat()
    return str(cell)


def _rows(sheet: Any, marks: Marks) -> Iterator[tuple[int, list[str]]]:
    """Number and cells, from column A on, of each row that holds something."""
    left = sheet.start[1] if sheet.start else 0
    # calamine counts rows from the sheet's first, columns from the first that holds something, and ends at the last
    below = range(sheet.total_height + 1, max(marks.texts, default=0) + 1)
    for number, row in enumerate(chain(sheet.iter_rows(), ([] for _ in below)), 1):
        cells = [""] * left + [as_text(cell) for cell in row]
        for column, text in marks.texts.get(number, {}).items():
            cells += [""] * (column - len(cells))
            cells[column - 1] = text
        if any(cells):
            yield number, cells


def _write(out: BinaryIO, rows: list[tuple[int, list[str]]], width: int, marks: Marks) -> tuple[int, int]:
    """One batch as an Arrow stream of its own; returns where it lies: row, hidden, and the columns by their number."""
    import pyarrow as pa

    columns: dict[str, Any] = {
        "row": pa.array([number for number, _ in rows], pa.int32()),
        "hidden": pa.array([number in marks.hidden for number, _ in rows], pa.bool_()),
    }
    for i in range(width):
        columns[str(i + 1)] = pa.array([(r[i] or None) if i < len(r) else None for _, r in rows], pa.string())
        if "\0" in "".join(filter(None, columns[str(i + 1)].to_pylist())):
            raise Refused("text without NUL bytes")
    table, begin = pa.table(columns), out.tell()
    with pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    return begin, out.tell() - begin


def _write_sheet(out: BinaryIO, sheet: Any, marks: Marks) -> list[tuple[int, int]]:
    """All batches of one sheet, none wider or narrower than the others."""
    right = sheet.start[1] + sheet.width if sheet.start else 0
    width = max([right, *(column for texts in marks.texts.values() for column in texts)])
    most, batch, places = max(1000, BATCH_CELLS // max(width, 1)), [], []
    for row in _rows(sheet, marks):
        batch.append(row)
        if len(batch) == most:
            places.append(_write(out, batch, width, marks))
            batch = []
    return [*places, _write(out, batch, width, marks)] if batch or not places else places


def write_book(path: Path, hidden_sheet: str, out: BinaryIO) -> dict[str, Any]:
    """Write the visible sheets, or only the hidden one that is asked for; returns where each lies, and what is hidden.

    Raises `Refused`.
    """
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetTypeEnum, SheetVisibleEnum

    marks = marks_of_book(path)
    # a file object, because an archived file has no ending that would tell its format
    with path.open("rb") as file:
        try:
            book = CalamineWorkbook.from_filelike(file)
            about = [s for s in book.sheets_metadata if s.typ == SheetTypeEnum.WorkSheet]
            hidden = [s.name for s in about if s.visible != SheetVisibleEnum.Visible]
            wanted = [s.name for s in about if (s.name == hidden_sheet if hidden_sheet else s.name not in hidden)]
            if any(name not in marks for name in wanted):
                raise Refused(COMPLETE)
            sheets = {name: _write_sheet(out, book.get_sheet_by_name(name), marks[name]) for name in wanted}
        except PasswordError:
            raise Refused("a workbook without a password") from None
        except CalamineError:
            raise Refused(COMPLETE) from None
    return {"sheets": sheets, "hidden": hidden}


def main(path: str, hidden_sheet: str, memory: str, seconds: str) -> None:
    """Batches, then an index as JSON, then its length in eight bytes."""
    for kind, most in (
        (resource.RLIMIT_AS, int(memory)), (resource.RLIMIT_CPU, int(seconds)),
        (resource.RLIMIT_FSIZE, MOST_WRITTEN), (resource.RLIMIT_CORE, 0),
    ):  # fmt: skip
        resource.setrlimit(kind, (most, most))
    out = sys.stdout.buffer
    try:
        try:
            answer = write_book(Path(path), hidden_sheet, out)
        except Refused as error:
            answer = {"expected": str(error)}
        index = json.dumps(answer).encode()
        out.write(index + struct.pack("<Q", len(index)))
        out.flush()
    except OSError as error:
        # a full disk is no fault of the workbook
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            os._exit(NO_ROOM)
        raise


if __name__ == "__main__":
    main(*sys.argv[1:])
