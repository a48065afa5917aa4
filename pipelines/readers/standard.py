"""SDTM- and ADaM-shaped files of anybody's, CSV, Parquet or XPT, as text rows that know where they stood."""

import csv
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import UnreadableFile, UsageError
from pipelines.readers.csv import Text, broken_records, quoted, ready
from pipelines.study import sql_literal

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = (".csv", ".parquet", ".xpt")
ENCODING = "utf-8-sig"  # UTF-8 with or without its mark


@dataclass(frozen=True)
class Standard:
    """What was read of one file: the columns asked for, in lower case, and the rows that are none.

    `rows`: `source_row` (first line of a CSV record, else the number of the row, from 1) and text, NULL where a cell
    is empty; `rejected`: source_row and reason.
    """

    rows: "pa.Table"
    rejected: tuple[tuple[str, str], ...]


def read_standard(path: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> Standard:
    """Read the named columns of a file, whatever the case of its own names; optional ones where it has them.

    CSV is UTF-8 with commas. Raises `UsageError` for a file that is not there or no such format, and for a missing
    column, with the nearest name that the file has.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path.name}: a file that ends in {', '.join(FORMATS)} is expected.")
    if not path.is_file():
        raise UsageError(f"{path.name}: no such file.")
    read = {".csv": _csv, ".parquet": _parquet, ".xpt": _xpt}[path.suffix.lower()]
    try:
        return read(path, needed, optional)
    except UnreadableFile as error:
        # whoever brings a file of their own has no mapping that could be corrected
        problems = (
            replace(p, expected="text in UTF-8", action="Export it again in UTF-8.")
            if ENCODING in p.expected
            else replace(p, action=re.sub(", or correct .* mapping", "", p.action))
            for p in error.problems
        )
        raise UsageError("\n".join(f"{path.name}{problem}" for problem in problems)) from None


def chosen_columns(file: str, names: Sequence[str], needed: Sequence[str], optional: Sequence[str]) -> dict[str, str]:
    """Lower-case name to the file's own; raises `UsageError` for the needed ones that it lacks."""
    import difflib

    own = {name.strip().lower(): name for name in reversed(names)}
    missing = []
    for name in dict.fromkeys(needed):
        if name.lower() not in own:
            near = difflib.get_close_matches(name.lower(), own, 1, 0.5)
            hint = f"; the nearest is {own[near[0]]}" if near else ""
            missing.append(f"{file}: no column {name.upper()}{hint}.")
    if missing:
        if len(names) == 1:
            missing.append(f"{file} has one column only: are its cells separated by commas?")
        raise UsageError("\n".join(missing))
    return {name.lower(): own[name.lower()] for name in dict.fromkeys([*needed, *optional]) if name.lower() in own}


def _csv(path: Path, needed: Sequence[str], optional: Sequence[str]) -> Standard:
    import duckdb

    with tempfile.TemporaryDirectory() as scratch, duckdb.connect() as con:
        con.execute("set enable_progress_bar = false; set threads = 1")
        text = ready(path, {"encoding": ENCODING}, Path(scratch) / "text.csv")
        chosen = chosen_columns(path.name, text.names, needed, optional)
        try:
            with broken_records():
                rows = con.execute(text.select(list(chosen.values()))).to_arrow_table()
            text.check(con)
            starts = text.starts(len(rows))
        except UnreadableFile:
            return _record_by_record(text, chosen)
    if starts is not None:
        rows = rows.set_column(0, "source_row", starts)
    return Standard(rows.rename_columns(["source_row", *chosen]), ())


def _record_by_record(text: Text, chosen: dict[str, str]) -> Standard:
    """A damaged file: what can be cut into the header's columns is kept, the rest refused, each with its line."""
    import pyarrow as pa

    places = [text.names.index(name) for name in chosen.values()]
    kept: list[list[str | None]] = []
    rejected: list[tuple[str, str]] = []
    for line, record in _records(text):
        if record is None:
            rejected.append((str(line), "quotes that do not pair"))
        elif len(record) != len(text.names):
            rejected.append((str(line), f"{len(record)} cells where the header has {len(text.names)}"))
        else:
            kept.append([str(line), *(record[place] or None for place in places)])
    columns = zip(*kept, strict=True) if kept else [()] * (len(chosen) + 1)
    arrays = [pa.array(column, pa.string()) for column in columns]
    return Standard(pa.Table.from_arrays(arrays, ["source_row", *chosen]), tuple(rejected))


def _records(text: Text) -> Iterator[tuple[int, list[str] | None]]:
    """Each record with its first line; None where it cannot be read.

    A quote that nothing closes would take all lines after it, to the next one or to the end: what goes over many lines
    and is no record is cut off after its first line, and the reading goes on below.
    """
    with text.path.open("r", encoding=ENCODING, newline="") as file:
        lines = file.readlines()
    start = text.header_lines
    reader = _reader(text, lines, start)
    while True:
        first = start + reader.line_num
        record: list[str] | None = None
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error:
            pass
        if start + reader.line_num > first + 1 and len(record or ()) != len(text.names):
            record, start = None, first + 1
            reader = _reader(text, lines, start)
        if record is None or record:
            yield first + 1, record


def _reader(text: Text, lines: Sequence[str], start: int) -> Any:
    # no slice: a file may begin again at each of its lines
    below = map(lines.__getitem__, range(start, len(lines)))
    return csv.reader(below, delimiter=text.delimiter, quotechar=text.quote, strict=True)


def hold_writable(paths: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Raises `UsageError`, before any of them is written, where one of the paths cannot be or is one of the inputs."""
    for path in paths:
        try:
            if path.is_dir():
                raise UsageError(f"{path}: is a folder where a file is expected.")
            if path.resolve() in {each.resolve() for each in inputs}:
                names = " and ".join(each.name for each in inputs)
                raise UsageError(f"{path}: another file than {names} is expected.")
            there = path.exists()
            path.open("ab").close()
            if not there:
                path.unlink()
        except PermissionError:
            raise  # whose file it is says `errors.wrong_path`
        except OSError:
            raise UsageError(f"{path}: cannot be written; a file in a folder that is there is expected.") from None


def _parquet(path: Path, needed: Sequence[str], optional: Sequence[str]) -> Standard:
    import duckdb

    with duckdb.connect() as con:
        con.execute("set enable_progress_bar = false; set threads = 1")
        source = f"read_parquet({sql_literal(str(path))})"
        try:
            names = [row[0] for row in con.execute(f"describe from {source}").fetchall()]
            chosen = chosen_columns(path.name, names, needed, optional)
            return Standard(_numbered(con, chosen, source), ())
        except duckdb.Error:
            raise UsageError(f"{path.name}: not a readable Parquet file.") from None


def _xpt(path: Path, needed: Sequence[str], optional: Sequence[str]) -> Standard:
    # pandas loses a last record that ends in blanks, and reads 0 as 5e-79
    import duckdb
    import pyreadstat

    try:
        frame, _ = pyreadstat.read_xport(str(path), disable_datetime_conversion=True)
    except (pyreadstat.ReadstatError, UnicodeDecodeError):
        raise UsageError(f"{path.name}: not a readable SAS transport file (version 5, text in UTF-8).") from None
    chosen = chosen_columns(path.name, [str(name) for name in frame.columns], needed, optional)
    with duckdb.connect() as con:
        con.execute("set threads = 1")
        con.register("frame", frame[list(chosen.values())])
        return Standard(_numbered(con, chosen, "frame"), ())


def _numbered(con: Any, chosen: dict[str, str], source: str) -> "pa.Table":
    """Columns as text, NULL for an empty cell, with the number of the row."""
    cells = ", ".join(f"nullif({quoted(own)}::varchar, '') as {quoted(name)}" for name, own in chosen.items())
    return con.execute(f"select row_number() over ()::varchar as source_row, {cells} from {source}").to_arrow_table()
