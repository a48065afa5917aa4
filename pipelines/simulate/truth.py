"""The invented world behind the deliveries: from a cohort's truth down to single measurements and fractions."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.errors import UsageError
from pipelines.simulate import feasible

if TYPE_CHECKING:
    import duckdb

HERE = Path(__file__).resolve().parent


def build(con: "duckdb.DuckDBPyConnection", cohort: Path, lesions: Path, seed: int, units: Mapping[str, str]) -> None:
    """Make every table of schema `world` from a cohort (a row a patient) and its progressing sites (a row a site).

    `units` maps the letters of `onc_unit` and `rt_unit` to centre ids. Output: one `world.<table>` for each staged
    table of `study/tables` (its columns, typed, after centre, subject_no and usubjid; mm, Gy, mg), `world.scans`
    and `world.meta`. Raises `Infeasible`, or `UsageError` for a missing column. Source: PROTOCOL, RECIST 1.1.
    """
    prepare(con, seed)
    rows = ", ".join(f"({study.sql_literal(u)}, {study.sql_literal(c)})" for u, c in sorted(units.items()))
    con.execute(f"create table world.units as from (values {rows}) t(unit, centre)")
    inputs = study.read_yaml(HERE / "inputs.yaml")
    _load(con, cohort, "cohort", inputs["cohort"])
    _load(con, lesions, "deposits", inputs["lesions"])
    feasible.check(con)
    for path in sorted((HERE / "sql").glob("[0-9]*.sql")):
        _create(con, path.stem.split("_", 1)[1], path.read_text(encoding="utf-8"))


def prepare(con: "duckdb.DuckDBPyConnection", seed: int) -> None:
    """Make schema `world` anew with what every text needs: macros, story, protocol and code lists."""
    con.execute(f"drop schema if exists world cascade; create schema world; set variable seed = {int(seed)}")
    con.execute((HERE / "sql" / "macros.sql").read_text(encoding="utf-8"))
    one_row(con, "story", {**study.read_yaml(HERE / "story.yaml"), "seed": int(seed)})
    one_row(con, "protocol", {name: parameter["value"] for name, parameter in study.protocol().items()})
    lists = sorted(path.stem for path in (study.STUDY / "codelists").glob("*.csv"))
    codes = ", ".join(f"('{name}', {study.sql_literal(code)})" for name in lists for code in study.codelist(name))
    con.execute(f"create table world.codes as from (values {codes}) t(list, code)")


def one_row(con: "duckdb.DuckDBPyConnection", table: str, values: Mapping[str, Any]) -> None:
    """Make `world.<table>` with one row, a column for each value; joined by `cross join`."""
    columns = ", ".join(f"{study.sql_literal(value)} as {name}" for name, value in values.items())
    con.execute(f"create table world.{table} as select {columns}")


def _load(con: "duckdb.DuckDBPyConnection", path: Path, table: str, columns: Mapping[str, Mapping[str, str]]) -> None:
    """Read one input file as text (`world.<table>_text`) and typed (`world.<table>`, unreadable cells NULL)."""
    import duckdb

    if not path.is_file():
        raise UsageError(f"{path.name}: no such file. Name the cohort's two CSV files.")
    options = "header = true, all_varchar = true, delim = ',', quote = '\"', nullstr = ''"
    try:
        con.execute(f"create table world.{table}_text as from read_csv({study.sql_literal(str(path))}, {options})")
    except duckdb.Error as error:
        raise UsageError(
            f"{path.name}: not a comma-separated file in UTF-8. Compare examples/reference_study."
        ) from error
    given = {name for (name,) in con.execute(f"select column_name from (describe world.{table}_text)").fetchall()}
    missing = [name for name, spec in columns.items() if name not in given and "optional" not in spec]
    if missing:
        raise UsageError(f"{path.name}: columns {', '.join(missing)} are missing. Compare examples/reference_study.")
    typed = ", ".join(
        f"try_cast({name if name in given else 'null'} as {spec['type']}) as {name}" for name, spec in columns.items()
    )
    con.execute(f"create table world.{table} as select {typed} from world.{table}_text")


def _create(con: "duckdb.DuckDBPyConnection", table: str, text: str) -> None:
    """Make `world.<table>` from its SQL text; a staged table gets exactly its declared columns and types."""
    columns = "*"
    if table in study.staged_tables():
        made_elsewhere = {"local_id", "usubjid", *study.PROVENANCE}
        declared = [c for c in study.staged_columns(table).values() if c.name not in made_elsewhere]
        columns = "centre, subject_no::integer as subject_no, usubjid, " + ", ".join(
            f"{c.name}::{c.sql_type} as {c.name}" for c in declared
        )
    con.execute(f"create table world.{table} as select {columns} from ({text})")
