"""Values that look like direct identifiers of a person: a delivery that holds one comes no further than the archive."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.deliveries.persons import names_patient
from pipelines.errors import Problem
from pipelines.mapping import DICTIONARY, IDENTIFIER
from pipelines.study import sql_literal

if TYPE_CHECKING:
    import duckdb

    from pipelines.mapping import Source

# name in a message -> regular expression (RE2), tried on the whole text of a cell
PATTERNS = {
    # letters LMNPQRSTUV stand for digits where two persons would have the same code
    "Italian fiscal code": r"(?i)\b[A-Z]{6}[\dL-NP-V]{2}[A-EHLMPRST][\dL-NP-V]{2}[A-Z][\dL-NP-V]{3}[A-Z]\b",
    "e-mail address": r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}",
    "phone number": r"(?i)(\+[1-9]\d|\b0039)[ ./-]?\d{2,4}[ ./-]?\d{3,4}[ .-]?\d{2,4}\b"
    r"|\b3[2-9]\d[ /-]\d{3}[ .-]?\d{3,4}\b|\b(tel|cell|telefono|cellulare|phone)\b\W{0,3}\d[\d ./-]{5,}",
}
EITHER = f"(?s).*(?:{'|'.join(f'(?:{p})' for p in PATTERNS.values())}).*"
NAMED = "a column that names a patient"
# of one column: source file, row, column, what it looks like, number of rows
Hit = tuple[str, str, str, str, int]
ACTION = "Remove it from the export, send it again, and have the data manager delete the archive's copy."


def find(con: "duckdb.DuckDBPyConnection", table: str, columns: list[str]) -> list[Problem]:
    """Problems, one per column, file and kind, with the first row that is hit; never the value.

    Input: `table` with `source_file`, `source_row` and the all-text `columns`.
    """
    if not columns:
        return []
    # a match of the whole text, because DuckDB tries it once for each different text of a column, and not for each row
    either = sql_literal(EITHER)
    quoted = ['"' + c.replace('"', '""') + '"' for c in columns]
    hit = " or ".join(f"regexp_full_match({c}, {either})" for c in quoted)
    con.execute(f"create or replace temp table suspects as from {table} where {hit}")
    if con.execute("select count(*) from suspects").fetchall() == [(0,)]:
        return []  # as nearly always; the kinds are told apart only where there is something to tell
    problems = []
    for column, name in zip(quoted, columns, strict=True):
        for kind, pattern in PATTERNS.items():
            rows = con.execute(f"""
                select source_file, min_by(source_row, rowid), count(*) from suspects
                where regexp_matches({column}, {sql_literal(pattern)}) group by all order by all
            """).fetchall()
            problems += [_problem((file, row, name, kind, n)) for file, row, n in rows]
    return problems


def _problem(hit: Hit) -> Problem:
    file, row, column, kind, n = hit
    expected = f"no direct identifier, but this looks like: {kind}"
    return Problem(file, f"column {column}, row {row} ({n} rows)", expected, ACTION)


def in_unread(con: "duckdb.DuckDBPyConnection", rows: str, columns: Sequence[str]) -> list[Hit]:
    """What looks like an identifier in columns that are not landed, whether by their values or by their name.

    Input: SQL of `rows` with `source_file`, `source_row` and the all-text `columns`, in the order of the file.
    """
    named = {f"_{i}": name for i, name in enumerate(columns)}
    # by their place: a column may be called as ours are
    rows = f"""
        select *, row_number() over () as _n
        from ({rows}) as r(source_file, source_row{"".join(f", {c}" for c in named)})
    """
    hits = []
    for column in _suspected(con, rows, named):
        kinds = {kind: f"regexp_matches({column}, {sql_literal(pattern)})" for kind, pattern in PATTERNS.items()}
        if names_patient(named[column]):
            kinds[NAMED] = f"trim({column}) <> ''"
        for kind, test in kinds.items():
            found = con.execute(f"""
                select source_file, min_by(source_row, _n), count(*) from ({rows}) where {test} group by source_file
            """).fetchall()
            hits += [(file, row, named[column], kind, n) for file, row, n in found]
    return sorted(hits)


def _suspected(con: "duckdb.DuckDBPyConnection", rows: str, named: Mapping[str, str]) -> list[str]:
    """The columns of `rows`, by the names that the file gives them, in which there is anything to tell; mostly none."""
    if not named:
        return []
    either = sql_literal(EITHER)
    tests = [
        f"trim({c}) <> ''" if names_patient(name) else f"regexp_full_match({c}, {either})" for c, name in named.items()
    ]
    (found,) = con.execute(f"select {', '.join(f'bool_or({test})' for test in tests)} from ({rows})").fetchall()
    return [c for c, is_found in zip(named, found, strict=True) if is_found]


def unread(hits: Sequence[Hit], ignored: Collection[str], is_person: Callable[[str], bool]) -> list[Problem]:
    """Hits as problems: not where a dictionary marks the column, nor for the name of one that the mapping ignores."""
    return [_problem(h) for h in hits if not is_person(h[2]) and not (h[3] == NAMED and h[2] in ignored)]


def declared(con: "duckdb.DuckDBPyConnection", landed: Path, source: "Source") -> Callable[[str], bool]:
    """Whether a source's REDCap dictionary, landed before, marks a column (or its boxes) as an identifier."""
    path = landed / f"{source.dictionary}.parquet"
    if not source.dictionary or not path.exists():
        return lambda _: False
    there = {c for (c,) in con.execute(f"select name from parquet_schema({sql_literal(str(path))})").fetchall()}
    if not there >= {DICTIONARY[0], IDENTIFIER}:
        return lambda _: False
    rows = con.execute(f"""
        select trim("{DICTIONARY[0]}") from read_parquet({sql_literal(str(path))})
        where lower(trim("{IDENTIFIER}")) = 'y'
    """).fetchall()
    marked = {name for (name,) in rows}
    return lambda column: column.split("___")[0] in marked
