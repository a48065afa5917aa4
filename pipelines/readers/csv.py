"""CSV: strictly decoded, header found where the mapping says, records parsed by DuckDB; nothing is guessed."""

import csv
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import Problem, UnreadableFile
from pipelines.readers.decode import decode, wrong
from pipelines.readers.wide import refuse_wide
from pipelines.study import sql_literal

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MOST_COLUMNS = 5000
MOST_IN_FOOTER = 2
MOST_FOOTER_LINES = 50
MOST_REJECTS = 1000
LONGEST_LINE = 4 << 20  # bytes of a line down to the header
TAIL = 1 << 16  # bytes in which a footer is looked for
UNNAMED = re.compile(r"column_\d+")


@dataclass(frozen=True)
class Text:
    """One file made ready: UTF-8 with line feeds at `path`, its columns, and where its records and footer lie."""

    path: Path
    names: tuple[str, ...]
    header_lines: int
    records_at: int
    footer_at: int
    n_lines: int
    footer: tuple[tuple[int, Sequence[str]], ...]
    delimiter: str
    quote: str

    def select(self, columns: Sequence[str]) -> str:
        """SQL of `source_row` and columns in file order, NULL where the file has none; one thread keeps the order."""
        kinds = ", ".join(f"'c{number}': 'varchar'" for number in range(len(self.names)))
        quote = sql_literal(self.quote)
        # new_line is stated: strict_mode else takes the first line's for all
        read = (
            f"read_csv({sql_literal(str(self.path))}, auto_detect = false, header = false, skip = {self.header_lines}, "
            f"columns = {{{kinds}}}, delim = {sql_literal(self.delimiter)}, quote = {quote}, escape = {quote}, "
            f"new_line = '\\n', nullstr = '', strict_mode = true, store_rejects = true, rejects_limit = {MOST_REJECTS})"
        )
        at = {name: number for number, name in enumerate(self.names)}
        cells = "".join(f", {f'c{at[c]}' if c in at else 'null::varchar'} as {quoted(c)}" for c in columns)
        rows = f"select (row_number() over () + {self.header_lines})::varchar as source_row{cells} from {read}"
        for number, texts in self.footer:
            found = dict(zip(self.names, texts, strict=False))
            cells = "".join(f", {sql_literal(found.get(c) or None)}::varchar" for c in columns)
            rows += f" union all select '{self.header_lines + number}'{cells}"
        return rows

    def check(self, con: "duckdb.DuckDBPyConnection") -> None:
        """Raise `UnreadableFile` for the records that the last reading of this file refused, each with its line."""
        rejects = con.execute(f"""
            select line_byte_position - 1, min(error_type) from reject_errors join reject_scans using (scan_id, file_id)
            where file_path = {sql_literal(str(self.path))} and line_byte_position <= {self.footer_at}
            group by all order by all limit {MOST_REJECTS}
        """).fetchall()
        if rejects:
            raise UnreadableFile(self._problems(rejects))
        with broken_records():
            refuse_wide(con, self)

    def _problems(self, rejects: Sequence[tuple[int, str]]) -> list[Problem]:
        problems, line, at = [], 1, 0
        with self.path.open("rb") as file:
            for position, kind in rejects:
                line, at = line + file.read(position - at).count(b"\n"), position
                expected = f"{len(self.names)} columns" if "COLUMNS" in kind else "quotes that pair"
                action = f"The record is damaged ({kind.lower()}): correct it in the export."
                problems.append(Problem("", f"line {line}", expected, action))
        return problems

    def starts(self, n_rows: int) -> Any:
        """First physical line of each of `n_rows` rows; None where every record has a line, which needs no list."""
        import pyarrow as pa

        n_records = n_rows - len(self.footer)
        if n_records == self.n_lines:
            return None
        with self.path.open("rb") as file:
            file.seek(self.records_at)
            reader = csv.reader(_lines(file, self.footer_at), delimiter=self.delimiter, quotechar=self.quote)
            found, before = [], 0
            try:
                for record in reader:
                    if record or len(self.names) == 1:
                        found.append(self.header_lines + before + 1)
                    before = reader.line_num
            except csv.Error:
                raise wrong("", "cells shorter than 128 KiB", "Look for quotes that do not pair.") from None
        if len(found) != n_records:
            raise wrong("", "one reading of where records begin", "Look for quotes that do not pair; export it again.")
        return pa.array([str(n) for n in found] + [str(self.header_lines + n) for n, _ in self.footer], pa.string())


def read_file(path: Path, spec: Mapping[str, Any]) -> "pa.Table":
    """Rows of one CSV file below its header.

    `spec`: encoding (utf-8 if not stated), delimiter (`,`), quote (`"`), header `{find: [column, …], within: n}` (the
    first line). `source_row` is the first physical line of the record: quoted line breaks and blank lines count. A
    column without a name that holds something is `column_<number>`. A report's footer (lines of one or two cells after
    the last record, each with its line end) is read too; the mapping says where it begins. Quotes after nothing but
    spaces are those around the text. Raises `UnreadableFile` for wrong bytes, a missing header, ragged rows and quotes
    that do not pair.
    """
    import duckdb

    with tempfile.TemporaryDirectory() as scratch, duckdb.connect() as con:
        con.execute("set enable_progress_bar = false; set threads = 1")
        text = ready(path, spec, Path(scratch) / "text.csv")
        with broken_records():
            rows = con.execute(text.select(text.names)).to_arrow_table()
        text.check(con)
        starts = text.starts(len(rows))
    if starts is not None:
        rows = rows.set_column(0, "source_row", starts)
    # a delimiter at the end of every line makes a column without name and content
    return rows.drop_columns([n for n in text.names if UNNAMED.fullmatch(n) and rows[n].null_count == len(rows)])


class broken_records:
    """Whatever DuckDB says of a file that it cannot cut into records becomes a problem; its text may hold a value."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        import duckdb

        if isinstance(error, duckdb.Error) and not isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException):
            action = "Look for a stray line end or quote; export it again."
            raise wrong("", "records whose quotes and line ends follow the CSV format", action) from None


def batches(path: Path, spec: Mapping[str, Any]) -> Iterator["pa.Table"]:
    """`read_file` as one batch, for callers that know all formats; landing takes the shorter way."""
    yield read_file(path, spec)


def ready(path: Path, spec: Mapping[str, Any], scratch: Path) -> Text:
    """Decode a file strictly (into `scratch`, unless it is UTF-8 with line feeds) and find its header and footer.

    Memory does not grow with the file. Raises `UnreadableFile`.
    """
    delimiter, quote, encoding = spec.get("delimiter", ","), spec.get("quote", '"'), spec.get("encoding", "utf-8")
    n_newlines = decode(path, encoding, None)
    if n_newlines is None:
        path, n_newlines = scratch, decode(path, encoding, scratch)
    names, header_lines, records_at = _header(path, spec.get("header", {}), delimiter, quote, encoding)
    footer_at, after, footer = _footer(path, records_at, len(names), delimiter, quote)
    last = (n_newlines or 0) - header_lines - after + 1
    n_lines = last if footer_at > records_at else 0
    numbered = tuple((last + n, cells) for n, cells in footer)
    return Text(path, tuple(names), header_lines, records_at, footer_at, n_lines, numbered, delimiter, quote)


def _lines(file: Any, end: int) -> Iterator[str]:
    """Physical lines from where the file stands to the offset `end`."""
    while (left := end - file.tell()) > 0 and (line := file.readline(left)):
        yield line.decode("utf-8")


def _header(
    path: Path, header: Mapping[str, Any], delimiter: str, quote: str, encoding: str
) -> tuple[list[str], int, int]:
    """Column names, the number of physical lines up to and with the header, and the offset of the first record."""
    wanted, within = set(header.get("find", ())), int(header.get("within", 1))

    def lines(file: Any) -> Iterator[str]:
        while (line := file.readline(LONGEST_LINE)) and len(line) < LONGEST_LINE:
            text = line.decode("utf-8")
            yield text.removeprefix("\ufeff") if encoding == "utf-8-sig" else text

    with path.open("rb") as file:
        reader = csv.reader(lines(file), delimiter=delimiter, quotechar=quote)
        try:
            for names in reader:
                if wanted <= set(names) and any(names):
                    return _names(names, f"line {reader.line_num}"), reader.line_num, file.tell()
                if reader.line_num >= within:
                    break
        except csv.Error:
            pass
    expected = f"a header with {', '.join(sorted(wanted))}" if wanted else "a header"
    action = "Check the delimiter and the columns of the export, or correct `header` in the centre's mapping."
    raise wrong(f"lines 1-{within}", expected, action)


def _names(header: list[str], place: str) -> list[str]:
    """Column names as they stand; twice the same (SQL does not tell `id` from `ID`) or too many is a problem."""
    if header[0].startswith("\ufeff"):
        action = "Set `encoding: utf-8-sig` in the centre's mapping, or export without the mark."
        raise wrong(place, "no byte order mark before the first column", action)
    if len(header) > MOST_COLUMNS:
        raise wrong(place, f"at most {MOST_COLUMNS} columns", "Check the delimiter and the file.")
    names = [name or f"column_{number}" for number, name in enumerate(header, 1)]
    folded = Counter(name.casefold() for name in names)
    twice = sorted({name for name in names if folded[name.casefold()] > 1})
    if twice:
        raise wrong(place, f"each column once ({', '.join(twice)})", "Rename one of the columns in the export.")
    return names


def _footer(
    path: Path, records_at: int, n_columns: int, delimiter: str, quote: str
) -> tuple[int, int, list[tuple[int, list[str]]]]:
    """The offset at which records end, the line ends after it, and the short lines after them: number, cells.

    A last line without line end is no footer but a record that was cut off; one with a quote may end a cell.
    """
    size = path.stat().st_size
    start = max(records_at, size - TAIL)
    with path.open("rb") as file:
        file.seek(start)
        tail = file.read()
    found: list[tuple[int, list[str]]] = []
    if not tail.endswith(b"\n"):
        return size, 0, found
    body = tail.rstrip(b"\n")
    while body:
        begin = body.rfind(b"\n") + 1
        cells = body[begin:].decode("utf-8", "replace").split(delimiter)
        if (
            len(cells) > min(MOST_IN_FOOTER, n_columns - 1)
            or quote.encode() in body[begin:]
            or (not begin and start > records_at)
        ):
            break
        found.append((begin, cells))
        if len(found) > MOST_FOOTER_LINES:
            return size, 0, []
        body = body[:begin].rstrip(b"\n")
    after = tail.count(b"\n", len(body))
    return start + len(body), after, [(tail.count(b"\n", len(body), at), cells) for at, cells in found[::-1]]


def quoted(name: str) -> str:
    """A column's name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
