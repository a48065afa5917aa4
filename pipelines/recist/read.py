"""TU and TR from CSV, Parquet or XPT: all text, each record with its place in the file."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import UsageError
from pipelines.study import sql_literal

if TYPE_CHECKING:
    import duckdb


def read(
    con: "duckdb.DuckDBPyConnection", path: Path, table: str, required: Sequence[str], optional: Sequence[str]
) -> set[str]:
    """Make `raw.<table>`: `source_row` and the named columns, lower case, as text; returns the optional ones present.

    Names match in any case; further columns are ignored. `source_row`: the first physical line of a CSV record, the
    number of the record elsewhere. Records of a CSV file that cannot be cut into columns go to `raw.<table>_broken`
    (`source_row`). Raises `UsageError` for a file that is not there or cannot be read, and for missing columns.
    """
    readers = {".csv": _csv, ".parquet": _parquet, ".xpt": _xpt}
    if path.suffix.lower() not in readers:
        raise UsageError(f"{path.name}: a file that ends in {', '.join(readers)} is expected.")
    if not path.is_file():
        raise UsageError(f"{path}: no such file.")
    con.execute(f"create or replace table raw.{table}_broken (source_row varchar)")
    names = readers[path.suffix.lower()](con, path, table)
    at = {name.strip().upper(): name for name in names}
    missing = [name for name in required if name not in at]
    if missing:
        raise UsageError(f"{path.name}: columns {', '.join(missing)} are missing; comma-separated, names in line 1.")
    cells = "".join(
        f", {'cast(' + _quoted(at[n]) + ' as varchar)' if n in at else 'null::varchar'} as {n.lower()}"
        for n in (*required, *optional)
    )
    con.execute(f"create or replace table raw.{table} as select source_row{cells} from raw.{table}_file")
    con.execute(f"drop table raw.{table}_file")
    return {name for name in optional if name in at}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _parquet(con: "duckdb.DuckDBPyConnection", path: Path, table: str) -> list[str]:
    import duckdb

    try:
        con.execute(
            f"""create table raw.{table}_file as
            select (file_row_number + 1)::varchar as source_row, * exclude (file_row_number)
            from read_parquet({sql_literal(str(path))}, file_row_number = true)"""
        )
    except duckdb.Error as error:
        raise UsageError(f"{path.name}: not a Parquet file that can be read ({type(error).__name__}).") from None
    return _names(con, table)


def _xpt(con: "duckdb.DuckDBPyConnection", path: Path, table: str) -> list[str]:
    # pandas loses the last record where blanks stand near the end of the file, and reads 0 as 5e-79
    import pyreadstat

    try:
        rows, _ = pyreadstat.read_xport(str(path), disable_datetime_conversion=True)
    except (pyreadstat.ReadstatError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name}: not a SAS transport file that can be read ({type(error).__name__}).") from None
    con.register("xpt_rows", rows)
    con.execute(
        f"create table raw.{table}_file as select (row_number() over ())::varchar as source_row, * from xpt_rows"
    )
    con.unregister("xpt_rows")
    return _names(con, table)


def _names(con: "duckdb.DuckDBPyConnection", table: str) -> list[str]:
    return [name for name, *_ in con.execute(f"describe raw.{table}_file").fetchall() if name != "source_row"]


def _csv(con: "duckdb.DuckDBPyConnection", path: Path, table: str) -> list[str]:
    import duckdb

    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            names, header_lines = next(reader, []), reader.line_num
    except (UnicodeDecodeError, csv.Error):
        raise UsageError(f"{path.name}: comma-separated text in UTF-8 is expected.") from None
    if len({name.strip().upper() for name in names}) < len(names):
        raise UsageError(f"{path.name}: a column stands twice in line 1.")
    kinds = ", ".join(f"{sql_literal(name)}: 'varchar'" for name in names)
    try:
        con.execute(
            f"""create table raw.{table}_file as select row_number() over () as source_row, * from read_csv(
            {sql_literal(str(path))}, auto_detect = false, header = false, skip = {header_lines}, columns = {{{kinds}}},
            delim = ',', quote = '"', escape = '"', nullstr = '', strict_mode = true,
            store_rejects = true, rejects_limit = 0)"""
        )
    except duckdb.Error as error:
        raise UsageError(f"{path.name}: comma-separated text in UTF-8 is expected ({type(error).__name__}).") from None
    con.execute(f"insert into raw.{table}_broken select distinct line::varchar from reject_errors")
    _place(con, path, table, len(names), header_lines)
    return names


def _place(con: "duckdb.DuckDBPyConnection", path: Path, table: str, n_columns: int, header_lines: int) -> None:
    """Number the records by their first physical line; only quoted line breaks and blank lines need a second look."""
    n_rows = con.execute(f"select count(*) from raw.{table}_file").fetchall()[0][0]
    n_broken = con.execute(f"select count(*) from raw.{table}_broken").fetchall()[0][0]
    with path.open("rb") as file:
        n_lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
        file.seek(0, 2)
        if file.tell():
            file.seek(-1, 2)
            n_lines += file.read(1) != b"\n"
    if n_rows + n_broken + header_lines == n_lines:
        con.execute(
            f"""create or replace table raw.line_of as
            select row_number() over (order by line) as record, line
            from range({header_lines + 1}, {n_lines + 1}) t(line)
            where line::varchar not in (from raw.{table}_broken)"""
        )
    else:
        starts, before = [], header_lines
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            next(reader)
            for record in reader:
                if len(record) == n_columns:
                    starts.append(before + 1)
                before = reader.line_num
        if len(starts) != n_rows:
            raise UsageError(f"{path.name}: quotes do not pair. Export it again.")
        con.execute(
            "create or replace table raw.line_of as select unnest(range(1, len($1) + 1)) as record, unnest($1) as line",
            [starts],
        )
    con.execute(
        f"""create or replace table raw.{table}_file as select l.line::varchar as source_row, f.* exclude (source_row)
        from raw.{table}_file f join raw.line_of l on l.record = f.source_row"""
    )
