"""Workbooks, xlsx and xls: opened by a child process with limits (`workbook`), read batch by batch from there."""

import json
import os
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pipelines.errors import DiskFull, Problem, UnreadableFile
from pipelines.readers.read import with_notes
from pipelines.readers.workbook import NO_ROOM

if TYPE_CHECKING:
    import pyarrow as pa

MEMORY = 2 << 30
SECONDS = 300
TAIL = 8
AGAIN = "Export it again in the agreed form, or correct the centre's mapping."
HIDDEN_ROW = ("structure/hidden_row", None, None, "a row that is not hidden in the sheet")


@dataclass(frozen=True)
class Workbook:
    """What the child wrote: an unnamed file, gone when it is closed, and where in it each sheet's batches lie."""

    file: BinaryIO
    sheets: Mapping[str, Sequence[tuple[int, int]]]
    hidden: Sequence[str]

    def batches(self, sheet: str) -> Iterator["pa.Table"]:
        """Rows that hold something: row, hidden, and the cells by the number of their column."""
        import pyarrow as pa

        for begin, length in self.sheets[sheet]:
            yield pa.ipc.open_stream(os.pread(self.file.fileno(), length, begin)).read_all()


def batches(path: Path, spec: Mapping[str, Any]) -> Iterator["pa.Table"]:
    """One row per row of a sheet that holds something, below the header, in batches.

    `spec`: sheet (a hidden one only if it is named here), header {find, within, rows, join}; of two header rows the
    upper one is filled to the right and joined to the lower (`Basale|Data`); the header lies in the first 1000 rows
    that hold something. `source_row` is `Sheet!14`. Dates are ISO text, those whose format shows no day
    `03/2014` or `2014`; whole numbers have no decimals, a formula is its stored result, other cells are as they stand;
    an error, or a formula that was never calculated, is its own text (`#N/A`, `=B2/10`), so that no type can read it. A
    column without a name that holds something is `column_<number>`. Hidden rows are data like the others,
    with a note. Raises `UnreadableFile`.
    """
    status, name = path.stat(), spec["sheet"]
    book = _workbook(path, status.st_size, status.st_mtime_ns, "")
    if name in book.hidden:
        book = _workbook(path, status.st_size, status.st_mtime_ns, name)
    if name not in book.sheets:
        raise _wrong("", f"a sheet named {name}")
    names: list[str] = []
    for batch in book.batches(name):
        if not names:
            last, names = _find_header(batch, spec.get("header", {}), name)
            place = f"{name}!{batch['row'][last - 1].as_py()}"
            batch = batch.slice(last)
        yield _named(batch, names, name, place)


def workbook(path: Path) -> Workbook:
    """The visible sheets of a workbook, by name, as a mapping may ask for them. Raises `UnreadableFile`."""
    status = path.stat()
    return _workbook(path, status.st_size, status.st_mtime_ns, "")


def _named(batch: "pa.Table", names: Sequence[str], sheet: str, header: str) -> "pa.Table":
    """A batch under the names of the header, which has that place, without columns that lack name and content."""
    import pyarrow as pa
    import pyarrow.compute as pc

    places = pc.binary_join_element_wise(sheet, batch["row"].cast(pa.string()), "!")
    columns = {"source_row": places}
    for number, name in enumerate(names, 1):
        cells = batch[str(number)]
        if name or cells.null_count < len(cells):
            columns[name or f"column_{number}"] = cells
    hidden = places.filter(batch["hidden"]).to_pylist()
    rule, *about = HIDDEN_ROW
    return with_notes(pa.table(columns), [(rule, place, *about) for place in hidden], header)


def _find_header(first: "pa.Table", header: Mapping[str, Any], sheet: str) -> tuple[int, list[str]]:
    """How many rows of the first batch go up to the header's last, and the column names, '' where there is none."""
    wanted, within, depth = set(header.get("find", [])), header.get("within", 1), header.get("rows", 1)
    rows = [(row.pop("row"), row.pop("hidden"), row) for row in first.slice(0, within + depth).to_pylist()]
    for at, (number, _, cells) in enumerate(rows):
        block = [[(cell or "").strip() for cell in row.values()] for _, _, row in rows[at : at + depth]]
        if number > within or rows[min(at + depth, len(rows)) - 1][0] != number + depth - 1:
            continue
        if not any(cells.values()) or not wanted <= {cell for row in block for cell in row}:
            continue
        names = block[0] if depth == 1 else joined(block[0], block[1], header.get("join", "|"))
        given = [name or f"column_{i}" for i, name in enumerate(names, 1)]
        folded = Counter(name.casefold() for name in ("source_row", *given))
        twice = sorted({n for n in given if folded[n.casefold()] > 1})
        if twice:
            raise _wrong(f"{sheet}!{number}", f"each column once ({', '.join(twice)})")
        return at + depth, names
    what = f"columns {', '.join(sorted(wanted))}" if wanted else "column names"
    raise _wrong(f"{sheet}, rows 1 to {within}", f"a header with {what}")


def joined(upper: Sequence[str], lower: Sequence[str], join: str) -> list[str]:
    """Names of a two-row header: a merged upper cell holds its text only in its first column."""
    names, reach = [], ""
    for above, below in zip(upper, lower, strict=True):
        reach = above or reach
        names.append(join.join(filter(None, (reach, below))) if below else above)
    return names


def _wrong(place: str, expected: str) -> UnreadableFile:
    return UnreadableFile([Problem("", place, expected, AGAIN)])


@lru_cache(maxsize=2)
def _workbook(path: Path, _size: int, _changed: int, hidden_sheet: str) -> Workbook:
    """The visible sheets, or one hidden sheet; the last workbook is kept, because it holds several sources."""
    # without a name, so that nothing of a patient is left behind however this process ends
    out = tempfile.TemporaryFile()  # noqa: SIM115
    command = [sys.executable, "-P", "-m", "pipelines.readers.workbook", str(path), hidden_sheet]
    try:
        child = subprocess.run(
            [*command, str(MEMORY), str(SECONDS)], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL,
            check=False, timeout=SECONDS,
        )  # fmt: skip
        if child.returncode == NO_ROOM:
            raise DiskFull
        answer = _index(out) if child.returncode == 0 else {}
    except subprocess.TimeoutExpired:
        answer = {}
    if "sheets" not in answer:
        out.close()
        raise _wrong("", answer.get("expected", "a workbook that opens within the limits of memory and time"))
    return Workbook(out, answer["sheets"], answer["hidden"])


def _index(out: BinaryIO) -> dict[str, Any]:
    end = out.seek(-TAIL, os.SEEK_END)
    (length,) = struct.unpack("<Q", out.read(TAIL))
    return dict(json.loads(os.pread(out.fileno(), length, end - length)))
