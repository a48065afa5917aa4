"""Rows of formats that need a reader of their own: all files of a source into one table, from there into one file."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.deliveries import identifiers, unknown
from pipelines.errors import UnreadableFile
from pipelines.readers.csv import quoted
from pipelines.readers.read import batches, names_of, notes_of
from pipelines.study import sql_literal

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# a plan is a few rows: what a statement of DuckDB costs is paid once for many files
MOST_ROWS, MOST_BYTES = 20_000, 32 << 20
MOST_TABLES = 500  # that wait: one of a row is no smaller than 10 KB


@dataclass
class Gathered:
    """Temp table `batches`, the rows of all files of one source in their order; it may grow beyond memory.

    Columns: `_file` (number of the file, from 0), source_row and the wanted raw columns. `names`: the columns of each
    file; `headers`: the row of these names. `not_taken`: columns that are not wanted, with the number of their cells
    that hold something. `notes`: number of the file, then what is noted of it. `made`: columns that SQL makes of
    others. `hits`: what looks like an identifier in columns that are not wanted.
    """

    con: "duckdb.DuckDBPyConnection"
    wanted: Callable[[str], bool]
    names: list[tuple[str, ...]]
    headers: dict[int, str] = field(default_factory=dict)
    not_taken: Counter[str] = field(default_factory=Counter)
    notes: list[tuple[int, list[str | None]]] = field(default_factory=list)
    hits: list[identifiers.Hit] = field(default_factory=list)
    columns: set[str] = field(default_factory=lambda: {"_file", "source_row"})
    made: dict[str, str] = field(default_factory=dict)
    waiting: list["pa.Table"] = field(default_factory=list)
    n_rows: int = 0  # of those that wait, as their bytes
    n_bytes: int = 0

    def select(self, number: int) -> Callable[[Sequence[str]], str]:
        """The rows of one file: SQL that gives `source_row` and the columns asked for."""
        return lambda columns: f"select source_row{self.cells(columns)} from batches where _file = {number}"

    def cells(self, columns: Sequence[str]) -> str:
        """A select's list of columns; no file may have one of them."""
        known = self.made | {c: quoted(c) for c in self.columns}
        return "".join(f", {known.get(c, 'null::varchar')} as {quoted(c)}" for c in columns)


def gather(
    con: "duckdb.DuckDBPyConnection", paths: Sequence[tuple[str, Path]], spec: Mapping[str, Any],
    wanted: Callable[[str], bool],
) -> Gathered:  # fmt: skip
    """Read files (source file, path on disk) by `spec` into `batches`; raises `UnreadableFile` with all problems."""
    con.execute("create or replace temp table batches (_file integer, source_row varchar)")
    found = Gathered(con, wanted, [()] * len(paths))
    # an earlier delivery may have held a file of the same name
    numbered = [(str(number), path) for number, (_, path) in enumerate(paths)]
    # files of one kind have the same columns: their names are kept once
    kinds: dict[tuple[str, ...], tuple[str, ...]] = {}
    try:
        for number, batch in batches(numbered, spec):
            named = (c for c in batch.column_names if c != "source_row")
            names = tuple(dict.fromkeys([*found.names[int(number)], *named]))
            found.names[int(number)] = kinds.setdefault(names, names)
            found.headers[int(number)] = names_of(batch)
            _add(found, int(number), batch)
    except UnreadableFile as error:
        raise UnreadableFile([replace(p, source_file=paths[int(p.source_file)][0]) for p in error.problems]) from None
    _flush(found)
    return found


def _add(found: Gathered, number: int, batch: "pa.Table") -> None:
    import pyarrow as pa

    found.notes += [(number, note) for note in notes_of(batch)]
    if len(batch):
        places = pa.repeat(pa.scalar(number, pa.int32()), len(batch))
        found.waiting.append(batch.replace_schema_metadata().append_column("_file", places))
        found.n_rows, found.n_bytes = found.n_rows + len(batch), found.n_bytes + batch.nbytes
    if found.n_rows >= MOST_ROWS or found.n_bytes >= MOST_BYTES or len(found.waiting) >= MOST_TABLES:
        _flush(found)


def _flush(found: Gathered) -> None:
    import pyarrow as pa

    if not found.waiting:
        return
    batch = pa.concat_tables(found.waiting, promote_options="default")
    found.waiting, found.n_rows, found.n_bytes = [], 0, 0
    taken = [c for c in batch.column_names if c in ("_file", "source_row") or found.wanted(c)]
    left = [c for c in batch.column_names if c not in taken]
    for c in left:
        found.not_taken[c] += unknown.n_filled(batch[c])
    for c in (c for c in taken if c not in found.columns):
        found.con.execute(f"alter table batches add column {quoted(c)} varchar")
        found.columns.add(c)
    found.con.register("batch", batch.select(taken))
    found.con.execute("insert into batches by name from batch")
    found.con.register("batch", batch.select(["_file", "source_row", *left]))
    found.hits += identifiers.in_unread(
        found.con, "select _file::varchar as source_file, * exclude (_file) from batch", left
    )
    found.con.unregister("batch")


def write(
    found: Gathered, about: Sequence[tuple[str, str, str]], columns: Sequence[str], target: Path, form: str
) -> list[int]:
    """Copy all rows, in their order, into one Parquet file; returns the number of rows of each file.

    `about`: delivery_id, file_sha256 and source_file of each file, which become columns of its rows.
    """
    import pyarrow as pa

    names = ("_file", "delivery_id", "file_sha256", "source_file")
    files = [pa.array(range(len(about)), pa.int32()), *(pa.array(values) for values in zip(*about, strict=True))]
    found.con.register("files", pa.table(files, names))
    head = ", ".join(names[1:])
    # rows of one file lie in their order, and a sort of all of them is for many files
    order = " order by b.rowid" if len(about) > 1 else ""
    found.con.execute(f"""
        copy (select {head}, source_row{found.cells(columns)} from batches b join files using (_file){order})
        to {sql_literal(str(target))} {form}
    """)
    found.con.unregister("files")
    counted = dict(found.con.execute("select _file, count(*) from batches group by _file").fetchall())
    return [counted.get(number, 0) for number in range(len(about))]
