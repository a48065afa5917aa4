"""Each SQL model against its spec: text tables in, text table out, one invented subject per clinical case.

A spec is `tests/spec/<layer>/<name>.txt`. A case begins with `# what it shows (source)`. Then tables, each a line with
its name, a line with the columns, and its rows; `-` is NULL. The last one is `expect <schema>.<name>`. Columns that are
not named are NULL, tables that are not named are empty, schema study is the real one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb
import pytest

from pipelines import models, study, study_schema, warehouse
from pipelines.orchestration.take_in import TECHNICAL, technical_type

HERE = Path(__file__).resolve().parent
# tables of schema study that a case gives itself: which centres there are, and what a paper printed
PRINTED = ("fact_id", "kind", "where_published", "statement", "measure", "comparator", "value", "denominator")
GIVEN_STUDY = {
    "study.centres": dict.fromkeys(("centre", "centre_kind", "title", "language"), "varchar"),
    "study.published": {**dict.fromkeys((*PRINTED, "row_key", "consistent_with"), "varchar"), "list_order": "integer"},
}


@dataclass(frozen=True)
class Grid:
    """One table of a case: its name, columns and rows as text."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]


@dataclass(frozen=True)
class Case:
    """One invented situation of a spec; `expected` is the last table."""

    title: str
    inputs: tuple[Grid, ...]
    expected: Grid


def cells(line: str) -> tuple[str | None, ...]:
    return tuple(None if c.strip() == "-" else c.strip() for c in line.split("|"))


def read(path: Path) -> Iterator[Case]:
    """The cases of a spec."""
    for block in ("\n" + path.read_text(encoding="utf-8")).split("\n# ")[1:]:
        title, _, body = block.partition("\n")
        grids = []
        for part in body.strip().split("\n\n"):
            name, head, *rows = [line for line in part.splitlines() if line.strip()]
            columns = tuple(str(c) for c in cells(head))
            grids.append(Grid(name.strip(), columns, tuple(cells(row) for row in rows)))
        *inputs, expected = grids
        assert expected.name.startswith("expect "), f"{path.name}: {title}: the last table is the expected one"
        yield Case(title, tuple(inputs), expected)


CASES = [
    pytest.param(path, case, id=f"{path.parent.name}/{path.stem}: {case.title}")
    for path in sorted(HERE.glob("*/*.txt"))
    for case in read(path)
]


@cache
def connection() -> duckdb.DuckDBPyConnection:
    con = warehouse.memory()
    study_schema.create_schema(con)
    return con


def types(full_name: str) -> dict[str, str]:
    """Columns and types of a table by what is declared."""
    schema, name = full_name.split(".")
    if full_name in GIVEN_STUDY:
        return GIVEN_STUDY[full_name]
    if schema == "staged" and name in TECHNICAL:
        return {c: technical_type(c) for c in TECHNICAL[name].split(", ")}
    if schema == "staged":
        columns = {**study.staged_columns(name), **{p: study.Column(p, "text", "") for p in study.PROVENANCE}}
        return {c.name: c.sql_type for c in columns.values()}
    return {c.name: c.sql_type for c in study.tables()[full_name].columns}


def fill(con: duckdb.DuckDBPyConnection, full_name: str, grid: Grid | None) -> None:
    """One input table, typed as declared."""
    con.execute(f"create schema if not exists {full_name.split('.')[0]}")
    declared = types(full_name)
    con.execute(f"create or replace table {full_name} ({', '.join(f'{c} {t}' for c, t in declared.items())})")
    if grid and grid.rows:
        unknown = set(grid.columns) - declared.keys()
        assert not unknown, f"{full_name} has no column {sorted(unknown)}"
        marks = ", ".join("?" for _ in grid.columns)
        con.executemany(f"insert into {full_name} ({', '.join(grid.columns)}) values ({marks})", list(grid.rows))


def made(con: duckdb.DuckDBPyConnection, model: models.Model, columns: tuple[str, ...]) -> list[tuple[str | None, ...]]:
    listed = ", ".join(f"cast({c} as {types(model.full_name)[c]})::varchar" for c in columns)
    return [tuple(row) for row in con.execute(f"select {listed} from (\n{model.sql}\n)").fetchall()]


def by_text(rows: list[tuple[str | None, ...]]) -> list[tuple[str | None, ...]]:
    return sorted(rows, key=lambda row: [str(v) for v in row])


@pytest.mark.parametrize(("path", "case"), CASES)
def test_spec(path: Path, case: Case) -> None:
    """The model makes what is expected, and the same when it sees one subject at a time."""
    con = connection()
    model = models.load()[f"{path.parent.name.split('_', 1)[1]}.{path.stem}"]
    assert case.expected.name == f"expect {model.full_name}"
    given = {grid.name: grid for grid in case.inputs}
    needed = [d for d in model.deps if not d.startswith("study.") or d in GIVEN_STUDY]
    assert given.keys() <= {*needed}, f"{model.full_name} does not read {sorted(given.keys() - {*needed})}"
    for name in needed:
        fill(con, name, given.get(name))
    found = made(con, model, case.expected.columns)
    declared = types(model.full_name)
    casts = ", ".join(f"cast(? as {declared[c]})::varchar" for c in case.expected.columns)
    expected = [tuple(con.execute(f"select {casts}", list(row)).fetchall()[0]) for row in case.expected.rows]
    assert by_text(found) == by_text(expected)
    if model.table.by == "subject":
        assert by_text(one_by_one(con, model, case, given, needed)) == by_text(expected)


def one_by_one(
    con: duckdb.DuckDBPyConnection, model: models.Model, case: Case, given: dict[str, Grid], needed: list[str]
) -> list[tuple[str | None, ...]]:
    """The rows of the model over each subject alone; tables kept for the study stay whole."""
    by_subject = [n for n in needed if n in given and "usubjid" in given[n].columns and kept_by_subject(n)]
    subjects = sorted({row[given[n].columns.index("usubjid")] or "" for n in by_subject for row in given[n].rows})
    rows = []
    for subject in subjects:
        for name in by_subject:
            grid = given[name]
            at = grid.columns.index("usubjid")
            fill(con, name, Grid(name, grid.columns, tuple(r for r in grid.rows if (r[at] or "") == subject)))
        rows += made(con, model, case.expected.columns)
    return rows


def kept_by_subject(full_name: str) -> bool:
    table = study.tables().get(full_name.replace("staged.", "harmonised."))
    return table is not None and table.by == "subject"
