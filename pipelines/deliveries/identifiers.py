"""Values that look like direct identifiers of a person: no delivery that holds one may come further than the archive."""

from typing import TYPE_CHECKING

from pipelines.errors import Problem

if TYPE_CHECKING:
    import duckdb

# name in a message -> regular expression (RE2), tried on the whole text of a cell
PATTERNS = {
    "Italian fiscal code": r"(?i)\b[A-Z]{6}[0-9LMNPQRSTUV]{2}[ABCDEHLMPRST][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]\b",
    "e-mail address": r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}",
    "phone number": r"(?i)(\+[1-9]\d|\b0039)[ ./-]?\d{2,4}[ ./-]?\d{3,4}[ .-]?\d{2,4}\b"
    r"|\b3[2-9]\d[ /-]\d{3}[ .-]?\d{3,4}\b|\b(tel|cell|telefono|cellulare|phone)\b\W{0,3}\d[\d ./-]{5,}",
}
SHORTEST = 6  # characters of a cell that could hold one of them; spares most cells the expressions


def find(con: "duckdb.DuckDBPyConnection", table: str, columns: list[str]) -> list[Problem]:
    """Problems, one per column, file and kind, with the first row that is hit; never the value.

    Input: `table` with `source_file`, `source_row` and the all-text `columns`.
    """
    if not columns:
        return []
    # plain text cannot hold any of them without one of these
    either = "|".join(f"(?:{p})" for p in PATTERNS.values()).replace("'", "''")
    quoted = ['"' + c.replace('"', '""') + '"' for c in columns]
    hit = " or ".join(f"(length({c}) >= {SHORTEST} and regexp_matches({c}, '{either}'))" for c in quoted)
    con.execute(f"create or replace temp table suspects as from {table} where {hit}")
    problems = []
    for column, name in zip(quoted, columns, strict=True):
        for kind, pattern in PATTERNS.items():
            matches = f"regexp_matches({column}, '{pattern.replace(chr(39), chr(39) * 2)}')"
            rows = con.execute(
                f"select source_file, min_by(source_row, rowid), count(*) from suspects where {matches} group by all order by all"
            ).fetchall()
            problems += [
                Problem(
                    file, f"column {name}, row {row} ({n} rows)", f"no direct identifier, and there is what looks like: {kind}",
                    "Remove it from the export and send it again; the archive's copy must be deleted by the data manager.",
                )
                for file, row, n in rows
            ]  # fmt: skip
    return problems
