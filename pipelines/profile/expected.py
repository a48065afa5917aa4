"""The staged tables that a centre's sample must become, as CSV beside its mapping: written, and compared."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import study
from pipelines.staging_findings import fillable, key_of
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb

FINDINGS = "findings.csv"
HEAD = ("table", "field", "rule_id", "n")
Finding = tuple[str, str, str, int]


def columns(table: str) -> list[str]:
    """The columns of a staged table that say something of a subject: no provenance, nothing technical."""
    return list(fillable(table))


def write(con: "duckdb.DuckDBPyConnection", folder: Path, findings: Sequence[Finding]) -> None:
    """Write `<table>.csv` (sorted, a row per staged row, columns that hold something), and the findings counted.

    Input: views named as the staged tables. What the folder held before is replaced.
    """
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.csv"):
        old.unlink()
    for table in study.staged_tables():
        counted = ", ".join(f'count("{c}")' for c in columns(table))
        counts = con.execute(f"select {counted} from {table}").fetchall()[0]
        # a column that the study gains later changes no centre's files
        cells = ", ".join(f'"{c}"' for c, n in zip(columns(table), counts, strict=True) if n)
        if cells:
            target = lit(str(folder / f"{table}.csv"))
            con.execute(f"copy (select {cells} from {table} order by all) to {target} (format csv, header)")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([HEAD, *findings])
    if findings:
        (folder / FINDINGS).write_text(text.getvalue(), encoding="utf-8")


def agreed(folder: Path) -> list[Finding]:
    """What staging is right to ask of the sample: table, field, rule and number of rows."""
    path = folder / FINDINGS
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [(r["table"], r["field"], r["rule_id"], int(r["n"])) for r in csv.DictReader(file)]


def differences(con: "duckdb.DuckDBPyConnection", folder: Path) -> list[str]:
    """Where staged tables differ from the expected ones: row and column of the expected file, never a value."""
    found: list[str] = []
    for table in study.staged_tables():
        path = folder / f"{table}.csv"
        if path.exists():
            found += _differences(con, table, path)
        elif n := con.execute(f"select count(*) from {table}").fetchall()[0][0]:
            found.append(f"{table}: {n} rows, but expected/{path.name} is not there")
    return found


def _differences(con: "duckdb.DuckDBPyConnection", table: str, path: Path) -> list[str]:
    """Rows are matched by their key, and by their order where it repeats."""
    names = columns(table)
    with path.open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file), [])
    if not set(header) <= set(names):
        return [f"{table}: expected/{path.name}, row 1: its columns are of {', '.join(names)}"]
    kinds = ", ".join(f"{lit(c)}: 'varchar'" for c in header)
    absent = "".join(f', null::varchar as "{c}"' for c in names if c not in header)
    key = ", ".join(f'"{c}"' for c in dict.fromkeys(["local_id", *(c for c in key_of(table) if c in names)]))
    texts = ", ".join(f'"{c}"::varchar as "{c}"' for c in names)
    number = f"row_number() over (partition by {key} order by {', '.join(names)}) as _n"
    con.execute(f"""
        create or replace temp view wanted as select *, {number} from (
            select *{absent}, row_number() over () + 1 as _line from read_csv({lit(str(path))}, auto_detect = false,
                header = true, columns = {{{kinds}}}, delim = ',', quote = '"', escape = '"', nullstr = ''));
        create or replace temp view got as select *, {number} from (select {texts} from {table});
    """)
    same = " and ".join(f"w.{c} is not distinct from g.{c}" for c in [*key.split(", "), "_n"])
    joined = f"from wanted w full join got g on {same}"
    counts = ", ".join(
        f'list(_line order by _line) filter (g._n is not null and w."{c}" is distinct from g."{c}")' for c in names
    )
    (row,) = con.execute(f"""
        select list(_line order by _line) filter (g._n is null), count(*) filter (w._n is null), {counts}
        {joined}
    """).fetchall()
    found = [f"{table}: expected/{path.name}, {_rows(row[0])}: not staged"] if row[0] else []
    found += [f"{table}: {row[1]} rows are staged that expected/{path.name} does not hold"] if row[1] else []
    return found + [
        f"{table}: expected/{path.name}, {_rows(lines)}: {c} differs"
        for c, lines in zip(names, row[2:], strict=True)
        if lines
    ]


def _rows(lines: Sequence[int]) -> str:
    shown = ", ".join(map(str, lines[:5]))
    return f"row{'s' if len(lines) > 1 else ''} {shown}" + (f" and {len(lines) - 5} more" if len(lines) > 5 else "")
