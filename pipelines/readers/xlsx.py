"""Workbooks, read in a child process with a memory limit: a hostile workbook can end the process that reads it."""

import json
import re
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.errors import Problem, UnreadableFile

MOST_UNZIPPED = 512 << 20
MOST_CELLS = 20_000_000
MEMORY = 3 << 30
SECONDS = 300
CHUNK = 1 << 20
COLUMN = re.compile(rb' r="([A-Z]{1,3})[0-9]')
ROW = re.compile(rb'<row [^>]*?r="([0-9]+)"')
AGAIN = "Export it again in the agreed form, or correct the centre's mapping."


def read_file(path: Path, spec: Mapping[str, Any]) -> dict[str, list[str]]:
    """One row per row of a sheet that holds something, below the header.

    `spec`: sheet, header {find, within, rows, join}; of two header rows the upper one is filled to the right and joined
    to the lower (`Basale|Data`). `source_row` is `Sheet!14`. Dates are ISO text, whole numbers have no decimals, other
    cells are as they stand. A column without a name that holds something is `column_<number>`.
    """
    status = path.stat()
    sheets = _workbook(path, status.st_size, status.st_mtime_ns)
    name = spec["sheet"]
    if name not in sheets:
        raise _wrong("", f"a sheet named {name}")
    rows = sheets[name]
    first, names = _find_header(rows, spec.get("header", {}), name)
    body = [(number, row) for number, row in enumerate(rows[first:], first + 1) if any(row)]
    cells = list(zip(*(row for _, row in body), strict=True)) or [()] * len(names)
    named = {
        column or f"column_{i}": list(cells[i - 1]) for i, column in enumerate(names, 1) if column or any(cells[i - 1])
    }
    return {"source_row": [f"{name}!{number}" for number, _ in body], **named}


def _find_header(rows: Sequence[Sequence[str]], header: Mapping[str, Any], sheet: str) -> tuple[int, list[str]]:
    """The number of the header's last row, and the column names, '' where there is none."""
    wanted, within, depth = set(header.get("find", [])), header.get("within", 1), header.get("rows", 1)
    for number in range(1, min(within, len(rows) - depth + 1) + 1):
        block = [[cell.strip() for cell in row] for row in rows[number - 1 : number - 1 + depth]]
        if not any(block[0]) or not wanted <= {cell for row in block for cell in row}:
            continue
        names = block[0] if depth == 1 else _joined(block[0], block[1], header.get("join", "|"))
        folded = Counter(name.casefold() for name in names if name)
        twice = sorted({n for n in names if folded[n.casefold()] > 1})
        if twice:
            raise _wrong(f"{sheet}!{number}", f"each column once ({', '.join(twice)})")
        return number + depth - 1, names
    what = f"columns {', '.join(sorted(wanted))}" if wanted else "column names"
    raise _wrong(f"{sheet}, rows 1 to {within}", f"a header with {what}")


def _joined(upper: Sequence[str], lower: Sequence[str], join: str) -> list[str]:
    """Names of a two-row header: a merged upper cell holds its text only in its first column."""
    names, reach = [], ""
    for above, below in zip(upper, lower, strict=True):
        reach = above or reach
        names.append(join.join(filter(None, (reach, below))) if below else above)
    return names


def _wrong(place: str, expected: str) -> UnreadableFile:
    return UnreadableFile([Problem("", place, expected, AGAIN)])


@lru_cache(maxsize=1)
def _workbook(path: Path, _size: int, _changed: int) -> dict[str, list[list[str]]]:
    """Every sheet as rows of text; the last workbook is kept, because it holds several sources."""
    command = [sys.executable, "-P", "-m", __name__, str(path)]
    try:
        child = subprocess.run(command, capture_output=True, check=False, timeout=SECONDS)
        answer = json.loads(child.stdout) if child.returncode == 0 else {}
    except subprocess.TimeoutExpired:
        answer = {}
    if "sheets" not in answer:
        raise _wrong("", answer.get("expected", "an xlsx workbook that opens within the limits of memory and time"))
    return dict(answer["sheets"])


def refusal(path: Path) -> str | None:
    """What was expected of a workbook that must not be opened: its unzipped size and the extent of each sheet."""
    try:
        with zipfile.ZipFile(path) as book:
            if sum(entry.file_size for entry in book.infolist()) > MOST_UNZIPPED:
                return f"a workbook of at most {MOST_UNZIPPED >> 20} MB unzipped"
            sheets = [name for name in book.namelist() if name.startswith("xl/worksheets/") and name.endswith(".xml")]
            if any(_extent(book, name) > MOST_CELLS for name in sheets):
                return "sheets without cells far away from the others"
    except (zipfile.BadZipFile, EOFError, ValueError):
        return "an xlsx workbook that is complete"
    return None


def _extent(book: zipfile.ZipFile, sheet: str) -> int:
    """Cells of the smallest rectangle that holds all of a sheet, from the places that its cells state."""
    columns, last_row, tail = set(), 0, b""
    with book.open(sheet) as xml:
        while chunk := xml.read(CHUNK):
            # the end of a chunk is looked at again, so that a tag cut in two is seen
            text, tail = tail + chunk, chunk[-200:]
            columns.update(COLUMN.findall(text))
            last_row = max([last_row, *map(int, ROW.findall(text))])
    width = max((sum((c - 64) * 26**i for i, c in enumerate(reversed(name))) for name in columns), default=0)
    return width * last_row


def as_text(cell: Any) -> str:
    """One cell as text: nothing is rounded, nothing is guessed."""
    import datetime

    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    if isinstance(cell, datetime.datetime):
        return cell.date().isoformat() if cell.time() == datetime.time() else cell.isoformat(" ")
    return str(cell)


def main(path: Path) -> None:
    """The child: the whole workbook, or what was expected of it, as JSON on standard output."""
    import resource

    from python_calamine import CalamineWorkbook

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    if expected := refusal(path):
        json.dump({"expected": expected}, sys.stdout)
        return
    # a file object, because an archived file has no ending that would tell its format
    with path.open("rb") as file:
        book = CalamineWorkbook.from_filelike(file)
        sheets = {
            name: [
                [as_text(cell) for cell in row] for row in book.get_sheet_by_name(name).to_python(skip_empty_area=False)
            ]
            for name in book.sheet_names
        }
    json.dump({"sheets": sheets}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
