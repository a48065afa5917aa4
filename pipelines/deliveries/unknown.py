"""Columns that are not landed: what nothing names, with the number of its cells, and what names a person."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipelines.readers.csv import broken_records, quoted

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from pipelines.deliveries.rows import Arrived

Note = tuple[str | None, ...]


def notes(
    con: "duckdb.DuckDBPyConnection",
    source: str,
    arrived: Sequence["Arrived"],
    columns: Sequence[str],
    is_person: Callable[[str], bool],
) -> list[Note]:
    """One note per column of a source; its value is the number of cells that hold something, never a text of them."""
    first = min(a.file.source_file for a in arrived)
    filled = _filled(con, arrived, [c for c in columns if not is_person(c)])
    agreed = ("structure/unknown_column", "a column that the mapping names")
    person = ("structure/identifier_column", "no column that the dictionary marks as an identifier")
    return [
        (rule, source, first, "1", c, None if is_person(c) else str(filled[c]), expected)
        for c in columns
        for rule, expected in [person if is_person(c) else agreed]
    ]


def _filled(con: "duckdb.DuckDBPyConnection", arrived: Sequence["Arrived"], columns: Sequence[str]) -> dict[str, int]:
    counts = {c: sum(a.not_taken.get(c, 0) for a in arrived) for c in columns}
    for a in (a for a in arrived if a.text is not None and columns):
        cells = ", ".join(f"count(nullif(trim({quoted(c)}), ''))" for c in columns)
        with broken_records():
            (found,) = con.execute(f"select {cells} from ({a.select(columns)})").fetchall()
        counts = {c: counts[c] + n for c, n in zip(columns, found, strict=True)}
    return counts


def n_filled(column: "pa.ChunkedArray") -> int:
    """How many cells of a column of text hold something."""
    import pyarrow.compute as pc

    return int(pc.sum(pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(column)), 0)).as_py() or 0)
