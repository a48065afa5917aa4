"""From the archive to `landed/<centre>/<delivery_id>/`: all-text rows of the columns that the mapping names."""

import fnmatch
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import warehouse
from pipelines.deliveries import identifiers, unpack
from pipelines.deliveries.ledger import Delivery, object_path
from pipelines.deliveries.manifest import NAME
from pipelines.errors import DeliveryRejected, Problem, UnreadableFile
from pipelines.study import sql_literal
from pipelines.warehouse import Home

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from pipelines.mapping import Centre, Source

PLACE = ("source_file", "source_row")


@dataclass(frozen=True)
class File:
    """One file of a delivery: its name inside the delivery, where its bytes lie, and the sha256 that was received."""

    source_file: str
    path: Path
    sha256: str


@dataclass
class Landing:
    """What is gathered while the sources of one delivery are read."""

    con: "duckdb.DuckDBPyConnection"
    out: Path
    delivery_id: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[tuple[str | None, ...]] = field(default_factory=list)
    missing: dict[tuple[str, ...], tuple[str, list[str]]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    n_rows: int = 0


def land(home: Home, centre: "Centre", delivery: Delivery) -> int:
    """Write one Parquet file a source, with `_notes` and `_received`; returns the rows landed.

    Output grain: one row per row of a source's files, in their order, all text: delivery_id, file_sha256, source_file,
    source_row and the named raw columns. Raises `DeliveryRejected` with every problem found; then nothing is written.
    """
    out = home.landed / centre.name / delivery.delivery_id
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".landing-", dir=out.parent) as scratch,
        closing(warehouse.memory()) as con,
    ):
        draft = Path(scratch) / "landed"
        draft.mkdir()
        landing = Landing(con, draft, delivery.delivery_id)
        con.execute("create table received (source varchar, source_file varchar, file_sha256 varchar, n_rows bigint)")
        files, landing.problems = _files(home, delivery, Path(scratch) / "unpacked")
        if not landing.problems:
            for name, source in centre.sources.items():
                _land_source(landing, centre, name, source, files)
        for expected, names in landing.missing.values():
            action = f"Add the file ({', '.join(names)}) and send the delivery again."
            landing.problems.append(Problem(expected, "", "this file in the delivery", action))
        if landing.problems:
            raise DeliveryRejected(centre.name, delivery.name, landing.problems)
        _write_lists(landing, files)
        shutil.rmtree(out, ignore_errors=True)
        draft.rename(out)
    return landing.n_rows


def _files(home: Home, delivery: Delivery, folder: Path) -> tuple[list[File], list[Problem]]:
    """The delivery's files with archives opened; the manifest is none of them."""
    files: list[File] = []
    problems: list[Problem] = []
    for number, (name, about) in enumerate(sorted(delivery.files.items())):
        sha256 = str(about["sha256"])
        path = object_path(home, sha256)
        if name == NAME:
            continue
        if not unpack.is_archive(name):
            files.append(File(name, path, sha256))
            continue
        members, faults = unpack.unpack(name, path, folder / str(number))
        files += [File(member, where, sha256) for member, where in members]
        problems += faults
    return files, problems


def _matching(source: "Source", files: Sequence[File]) -> list[File]:
    """Files whose path, or last part of it, matches one of the source's globs; `a.zip!dir/x` ends in `x`."""
    return [
        f
        for f in files
        if any(
            fnmatch.fnmatchcase(name, glob)
            for glob in source.files
            for name in (f.source_file, f.source_file.split("!")[-1], f.source_file.split("!")[-1].rsplit("/")[-1])
        )
    ]


def _land_source(landing: Landing, centre: "Centre", name: str, source: "Source", files: Sequence[File]) -> None:
    """Read the files of one source by the first of its alternatives that finds any."""
    layouts = [source, *source.alternatives]
    layout, found = next(((each, got) for each in layouts if (got := _matching(each, files))), (source, []))
    if not found:
        _note_missing(landing, name, layouts)
        return
    landing.used |= {f.source_file for f in found}
    empty = [f for f in found if f.path.stat().st_size == 0]
    if empty:
        action = "Export it again and send a new delivery."
        landing.problems += [Problem(f.source_file, "", "a file with content", action) for f in empty]
        return
    from pipelines.readers.read import read

    try:
        rows = read([(f.source_file, f.path) for f in found], layout.read)
    except UnreadableFile as error:
        landing.problems += error.problems
        return
    shas = {f.source_file: f.sha256 for f in found}
    _keep(landing, centre, name, layout, rows, shas)


def _note_missing(landing: Landing, name: str, layouts: Sequence["Source"]) -> None:
    expected = " or ".join(glob for layout in layouts for glob in layout.files)
    if layouts[0].required:
        # one workbook may hold many sources, and is missing once
        landing.missing.setdefault(layouts[0].files, (expected, []))[1].append(name)
    else:
        landing.notes.append(("structure/missing_file", name, expected, "0", name, None, "this file in the delivery"))


def _keep(
    landing: Landing, centre: "Centre", name: str, source: "Source", rows: "pa.Table", shas: dict[str, str]
) -> None:
    """Check the columns of one source and land those that the mapping names."""
    con, columns = landing.con, [c for c in rows.column_names if c not in PLACE]
    con.register("arrived", rows)
    con.execute("create or replace temp table rows_read as from arrived")
    con.unregister("arrived")
    landing.problems += _keys(con, source, columns, sorted(shas))
    landing.problems += _guard(con, source, columns)
    named = [c for c in columns if c in centre.columns(name)]
    landing.problems += identifiers.find(con, "rows_read", named)
    known = {*named, *source.ignore, *source.guard}
    expected = "a column that the mapping names"
    landing.notes += [
        ("structure/unknown_column", name, min(shas), "1", column, None, expected)
        for column in columns
        if column not in known
    ]
    if not landing.problems:
        _write_source(landing, name, named, shas)


def _keys(
    con: "duckdb.DuckDBPyConnection", source: "Source", columns: Sequence[str], files: list[str]
) -> list[Problem]:
    """Files without a key column; several files are read as one table, which has it as soon as one of them does."""
    problems = []
    for key in source.key:
        without = files
        if key in columns:
            rows = con.execute(f"""
                select source_file from rows_read group by all having count({_quote(key)}) = 0 order by all
            """).fetchall()
            without = [file for (file,) in rows]
        action = "Export it again with this column, or correct the centre's mapping."
        problems += [Problem(file, f"column {key}", "this key column with values", action) for file in without]
    return problems


def _guard(con: "duckdb.DuckDBPyConnection", source: "Source", columns: Sequence[str]) -> list[Problem]:
    """Columns that are read only to see that they hold nothing but blanks and the values listed as harmless."""
    problems = []
    for column, allowed in source.guard.items():
        if column not in columns:
            continue
        quoted, values = _quote(column), ", ".join(sql_literal(v) for v in ["", *allowed])
        rows = con.execute(f"""
            select source_file, min_by(source_row, rowid), count(*) from rows_read
            where trim({quoted}) not in ({values}) group by all order by all
        """).fetchall()
        problems += [
            Problem(
                file, f"column {column}, row {row} ({n} rows)", "this column to be blank",
                "It may hold a person's name: empty it in the export and send it again.",
            )
            for file, row, n in rows
        ]  # fmt: skip
    return problems


def _quote(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _write_source(landing: Landing, name: str, named: Sequence[str], shas: dict[str, str]) -> None:
    con = landing.con
    pairs = ", ".join(f"({sql_literal(file)}, {sql_literal(sha)})" for file, sha in shas.items())
    con.execute(f"create or replace temp table shas as from (values {pairs}) t(source_file, file_sha256)")
    listed = "".join(f", r.{_quote(c)}" for c in named)
    target = sql_literal(str(landing.out / f"{name}.parquet"))
    con.execute(f"""
        copy (
            select {sql_literal(landing.delivery_id)} as delivery_id, s.file_sha256, r.source_file, r.source_row{listed}
            from rows_read r join shas s using (source_file) order by r.rowid
        ) to {target} (format parquet, compression zstd)
    """)
    con.execute(f"""
        insert into received
        select {sql_literal(name)}, s.source_file, s.file_sha256, count(r.source_row)
        from shas s left join rows_read r using (source_file) group by all order by all
    """)
    landing.n_rows += int(con.execute("select count(*) from rows_read").fetchall()[0][0])


def _write_lists(landing: Landing, files: Sequence[File]) -> None:
    """`_received`: one row per file and source (a file that no source reads has none); `_notes`: what was noticed."""
    con = landing.con
    columns = ("rule_id", "source", "source_file", "source_row", "field", "value_received", "expected")
    con.execute(f"create table notes ({', '.join(f'{c} varchar' for c in columns)})")
    for table, rows in (
        ("notes", landing.notes),
        ("received", [(None, f.source_file, f.sha256, None) for f in files if f.source_file not in landing.used]),
    ):
        if rows:
            values = ", ".join(f"({', '.join(sql_literal(v) for v in row)})" for row in rows)
            con.execute(f"insert into {table} values {values}")
        target = sql_literal(str(landing.out / f"_{table}.parquet"))
        con.execute(f"copy (from {table} order by all) to {target} (format parquet, compression zstd)")
