"""What the columns of a source must hold before its rows are landed: keys with values, guards without."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import Problem
from pipelines.mapping import GUARDED
from pipelines.readers.csv import broken_records, quoted
from pipelines.study import sql_literal

if TYPE_CHECKING:
    import duckdb

    from pipelines.deliveries.rows import Arrived
    from pipelines.mapping import Source


def guard_numbers(source: "Source") -> dict[str, tuple[str, str]]:
    """Columns by which rows are dropped that a guard column tells: its raw name, and SQL of the value's number."""
    told = {}
    for guarded, values in source.guard.items():
        if GUARDED + guarded in source.named:
            raw = source.raw(guarded)
            cases = " ".join(f"when {sql_literal(value)} then '{number}'" for number, value in enumerate(values))
            told[GUARDED + guarded] = raw, f"case trim({quoted(raw)}) {cases} end"
    return told


def missing_keys(
    con: "duckdb.DuckDBPyConnection", source: "Source", columns: Sequence[str], files: list[str], landed: Path
) -> list[Problem]:
    """Files without a key column; several files are read as one table, which has it as soon as one of them does."""
    problems = []
    for key in map(source.raw, source.key):
        without: Iterable[str] = files
        if key in columns:
            rows = con.execute(f"""
                select source_file from read_parquet({sql_literal(str(landed))}) group by all
                having count({quoted(key)}) = 0 order by all
            """).fetchall()
            without = [file for (file,) in rows]
        action = "Export it again with this column, or correct the centre's mapping."
        problems += [Problem(file, f"column {key}", "this key column with values", action) for file in without]
    return problems


def guarded_values(con: "duckdb.DuckDBPyConnection", source: "Source", arrived: "Arrived") -> list[Problem]:
    """Columns that are read only to see that they hold nothing but blanks and the values listed as harmless."""
    problems = []
    for guarded, allowed in source.guard.items():
        column = source.raw(guarded)
        if column not in arrived.names:
            continue
        values = ", ".join(sql_literal(v) for v in ["", *allowed])
        with broken_records():
            rows = con.execute(f"""
                select first(source_row), count(*) from ({arrived.select([column])})
                where trim({quoted(column)}) not in ({values}) having count(*) > 0
            """).fetchall()
        problems += [
            Problem(
                arrived.file.source_file, f"column {column}, row {row} ({n} rows)", "this column to be blank",
                "It may hold a person's name: empty it in the export and send it again.",
            )
            for row, n in rows
        ]  # fmt: skip
    return problems
