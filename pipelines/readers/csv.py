"""CSV: strictly decoded, header found where the mapping says, records parsed by DuckDB; nothing is guessed."""

import csv
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import Problem, UnreadableFile
from pipelines.readers.read import text_table
from pipelines.study import sql_literal

if TYPE_CHECKING:
    import pyarrow as pa

MOST_COLUMNS = 5000
MOST_IN_FOOTER = 2
UNNAMED = re.compile(r"column_\d+")


def read_file(path: Path, spec: Mapping[str, Any]) -> "pa.Table":
    """Rows of one CSV file below its header.

    `spec`: encoding (utf-8 if not stated), delimiter (`,`), quote (`"`), header `{find: [column, …], within: n}` (the
    first line). `source_row` is the first physical line of the record: quoted line breaks and blank lines count. A
    column without a name that holds something is `column_<number>`. A report's footer (lines of one or two cells after
    the last record, each with its line end) is read too; the mapping says where it begins. Raises `UnreadableFile` for
    wrong bytes, a missing header, ragged rows and quotes that do not pair.
    """
    delimiter, quote = spec.get("delimiter", ","), spec.get("quote", '"')
    data = _decode(path, spec.get("encoding", "utf-8"))
    names, header_lines, offset = _header(data, spec.get("header", {}), delimiter, quote)
    body, footer = _footer(data[offset:], len(names), delimiter, quote)
    rows = _parse(body, len(names), header_lines, delimiter, quote)
    if footer:
        rows = _append(rows, footer, header_lines)
    rows = rows.rename_columns(["source_row", *names])
    # a delimiter at the end of every line makes a column without name and content
    return rows.drop_columns([n for n in names if UNNAMED.fullmatch(n) and rows[n].null_count == len(rows)])


def _decode(path: Path, encoding: str) -> bytes:
    """The file as UTF-8 with `\\n` line ends; a byte that the declared encoding does not have is a problem."""
    raw = path.read_bytes()
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        action = "Export it again in this encoding, or correct `encoding` in the centre's mapping."
        raise _wrong(f"line {line}", f"text in {encoding}", action) from None
    data = text.encode("utf-8")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise _wrong(f"line {line}", "text without NUL bytes", "The file is damaged: export it again.")
    return data.replace(b"\r\n", b"\n")


def _lines(data: bytes, passed: list[int]) -> Iterator[str]:
    """Physical lines from the top; `passed` holds the bytes handed out so far."""
    while passed[0] < len(data):
        end = data.find(b"\n", passed[0]) + 1 or len(data)
        line, passed[0] = data[passed[0] : end], end
        yield line.decode("utf-8")


def _header(data: bytes, header: Mapping[str, Any], delimiter: str, quote: str) -> tuple[list[str], int, int]:
    """Column names, the number of physical lines up to and with the header, and the offset of the first record."""
    wanted, within = set(header.get("find", ())), int(header.get("within", 1))
    passed = [0]
    reader = csv.reader(_lines(data, passed), delimiter=delimiter, quotechar=quote)
    try:
        for names in reader:
            if wanted <= set(names) and any(names):
                return _names(names, f"line {reader.line_num}"), reader.line_num, passed[0]
            if reader.line_num >= within:
                break
    except csv.Error:
        pass
    expected = f"a header with {', '.join(sorted(wanted))}" if wanted else "a header"
    action = "Check the delimiter and the columns of the export, or correct `header` in the centre's mapping."
    raise _wrong(f"lines 1-{within}", expected, action)


def _names(header: list[str], place: str) -> list[str]:
    """Column names as they stand; twice the same (SQL does not tell `id` from `ID`) or too many is a problem."""
    if len(header) > MOST_COLUMNS:
        raise _wrong(place, f"at most {MOST_COLUMNS} columns", "Check the delimiter and the file.")
    names = [name or f"column_{number}" for number, name in enumerate(header, 1)]
    folded = Counter(name.casefold() for name in names)
    twice = sorted({name for name in names if folded[name.casefold()] > 1})
    if twice:
        raise _wrong(place, f"each column once ({', '.join(twice)})", "Rename one of the columns in the export.")
    return names


def _wrong(place: str, expected: str, action: str) -> UnreadableFile:
    return UnreadableFile([Problem("", place, expected, action)])


def _footer(body: bytes, n_columns: int, delimiter: str, quote: str) -> tuple[bytes, list[tuple[int, list[str]]]]:
    """The records, and the short lines after them: number of the line below the header, cells.

    A last line without line end is no footer but a record that was cut off; one with a quote may end a cell.
    """
    found: list[tuple[int, list[str]]] = []
    if not body.endswith(b"\n"):
        return body, found
    body = body.rstrip(b"\n")
    while body:
        start = body.rfind(b"\n") + 1
        cells = body[start:].decode("utf-8").split(delimiter)
        if len(cells) > min(MOST_IN_FOOTER, n_columns - 1) or quote.encode() in body[start:]:
            break
        found.append((body.count(b"\n", 0, start) + 1, cells))
        body = body[:start].rstrip(b"\n")
    return body, found[::-1]


def _append(rows: "pa.Table", footer: list[tuple[int, list[str]]], header_lines: int) -> "pa.Table":
    """The rows with the footer's lines below them, NULL in the columns that a line does not reach."""
    import pyarrow as pa

    columns = {"source_row": [str(header_lines + number) for number, _ in footer]}
    for number, name in enumerate(rows.column_names[1:]):
        columns[name] = [cells[number] if number < len(cells) else "" for _, cells in footer]
    return pa.concat_tables([rows, text_table(columns)])


def _parse(body: bytes, n_columns: int, header_lines: int, delimiter: str, quote: str) -> "pa.Table":
    """`source_row` and columns c0, c1, … of the records below the header."""
    import duckdb
    import pyarrow as pa

    columns = ", ".join(f"'c{number}': 'varchar'" for number in range(n_columns))
    options = f"delim = {sql_literal(delimiter)}, quote = {sql_literal(quote)}, escape = {sql_literal(quote)}"
    with tempfile.NamedTemporaryFile(suffix=".csv") as file, duckdb.connect() as con:
        con.execute("set enable_progress_bar = false")
        file.write(body)
        file.flush()
        try:
            # new_line is stated: strict_mode else takes the first line's for all
            rows = con.execute(f"""
                from read_csv({sql_literal(file.name)}, auto_detect = false, header = false, columns = {{{columns}}},
                    {options}, new_line = '\\n', nullstr = '', strict_mode = true, store_rejects = true)
            """).to_arrow_table()
            rejects = con.execute(
                "select line_byte_position, min(error_type) from reject_errors group by all"
            ).fetchall()
        except duckdb.Error:
            action = "Look for a stray line end or quote; export it again."
            raise _wrong("", "records whose quotes and line ends follow the CSV format", action) from None
    if rejects:
        raise UnreadableFile(_problems(body, header_lines, n_columns, rejects))
    starts = _first_lines(body, len(rows), n_columns, header_lines, delimiter, quote)
    return rows.add_column(0, "source_row", starts.cast(pa.string()))


def _problems(body: bytes, header_lines: int, n_columns: int, rejects: list[tuple[Any, ...]]) -> list[Problem]:
    """Rejected records, each with its physical line."""
    problems = []
    for position, kind in sorted(rejects):
        line = header_lines + body.count(b"\n", 0, position - 1) + 1
        expected = f"{n_columns} columns" if "COLUMNS" in kind else "quotes that pair"
        action = f"The record is damaged ({kind.lower()}): correct it in the export."
        problems.append(Problem("", f"line {line}", expected, action))
    return problems


def _first_lines(body: bytes, n_rows: int, n_columns: int, header_lines: int, delimiter: str, quote: str) -> Any:
    """First physical line of each record; counted only where a record spans lines or a line is blank."""
    import numpy as np
    import pyarrow as pa

    n_lines = body.count(b"\n") + 1 if body else 0
    if n_lines == n_rows:
        return pa.array(np.arange(header_lines + 1, header_lines + n_rows + 1))
    reader = csv.reader(_lines(body, [0]), delimiter=delimiter, quotechar=quote)
    starts, before = [], 0
    for record in reader:
        if record or n_columns == 1:
            starts.append(header_lines + before + 1)
        before = reader.line_num
    if len(starts) != n_rows:
        action = "Look for quotes that do not pair; export it again."
        raise _wrong("", "one reading of where records begin", action)
    return pa.array(starts, pa.int64())
