"""One SQL text, any slice: loads `sql/N_schema/name.sql` and runs it over all subjects, share by share, or over those
that were touched.

The names in a model resolve to views in an attached in-memory database `slice`; the rows lie in `store`, the warehouse.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import study, touched
from pipelines.errors import DiskFull, MappingError, disk_full
from pipelines.sql_tree import named_tables, shadowed
from pipelines.warehouse import count, exists, memory, with_room

if TYPE_CHECKING:
    import duckdb

SQL = study.ROOT / "sql"
# staged tables about the rows of the others
TECHNICAL = (
    "findings", "partial_dates", "dropped", "received", "changes", "field_counts", "source_counts", "restaging_waits",
)  # fmt: skip
LAYERS = ("harmonised", "assessed", "validated", "derived", "reports")
# what the life of a query is told from, as columns; empty tables where nobody looked back (see orchestration/past.py)
LIFE = {
    "deliveries": "epoch, centre, delivery_id, delivery_dt, kind",
    "failed_before": "epoch, query_id, centre, usubjid, table_name, record_key, field, rule_id, severity, failing_fl, "
    "cancelled_fl, value_hash, cause_id",
    "replies": "epoch, centre, delivery_id, query_id, site_reply, site_comment, replied_by, replied_on, source_file, "
    "source_row, newest_fl, usubjid",
    "acceptances": "epoch, query_id, value_hash, accepted_by, accepted_on, accept_reason",
}
EVERYBODY = "store.harmonised.links"
AT_ONCE = 60_000  # subjects; bounds the memory
HEADER = re.compile(r"^-- (one row per|unit|why|source): (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Model:
    """One SQL file and the table it makes; `deps` are the full names it reads, taken from the SQL itself."""

    schema: str
    name: str
    path: Path
    sql: str
    header: dict[str, str]
    deps: tuple[str, ...]

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def table(self) -> study.Table:
        return study.tables()[self.full_name]


def technical_type(column: str) -> str:
    """The SQL type of a column of a technical table, by its name."""
    return "bigint" if column == "epoch" or column.startswith("n_") else "date" if column.endswith("_dt") else "varchar"


def read_model(path: Path, con: "duckdb.DuckDBPyConnection") -> Model:
    """Read one SQL file.

    Raises `MappingError` where it does not parse, its table is not declared, or an alias would be read as a parameter.
    """
    import json

    sql = path.read_text(encoding="utf-8")
    row = con.execute(f"select json_serialize_sql({study.sql_literal(sql)})").fetchone()
    tree = json.loads(row[0] if row else "{}")
    if tree.get("error"):
        raise MappingError(f"{path.parent.name}/{path.name}: not a single select: {tree.get('error_message')}")
    schema = path.parent.name.split("_", 1)[1]
    if f"{schema}.{path.stem}" not in study.tables():
        raise MappingError(
            f"{path.parent.name}/{path.name}: no study/tables/{path.stem}.yaml declares {schema}.{path.stem}."
        )
    if aliases := shadowed(tree):
        raise MappingError(
            f"{path.parent.name}/{path.name}: {', '.join(sorted(aliases))} is an alias beside the protocol, which "
            "has a parameter of this name: SQL would read that one. Give the alias another name."
        )
    deps = tuple(sorted(set(named_tables(tree))))
    return Model(schema, path.stem, path, sql, dict(HEADER.findall(sql)), deps)


@cache
def load(root: Path = SQL) -> dict[str, Model]:
    """All models by full name, each after those it reads (ties in the order of the files)."""
    con = memory()
    found = {m.full_name: m for m in (read_model(path, con) for path in sorted(root.glob("*/*.sql")))}
    try:
        order = TopologicalSorter({name: [d for d in m.deps if d in found] for name, m in found.items()}).static_order()
        return {name: found[name] for name in order}
    except CycleError as error:
        raise MappingError(f"These models read each other in a circle: {' -> '.join(error.args[1])}.") from error


def reads() -> dict[str, tuple[str, ...]]:
    """What each model reads, after those it reads."""
    return {name: model.deps for name, model in load().items()}


def attach(con: "duckdb.DuckDBPyConnection") -> None:
    """Attach `slice` and create the layers there and in `store`."""
    con.execute("attach if not exists ':memory:' as slice")
    for schema in LAYERS:
        con.execute(f"create schema if not exists store.{schema}; create schema if not exists slice.{schema}")
    con.execute("create schema if not exists slice.staged; create schema if not exists slice.study")
    con.execute("create schema if not exists store.study")
    touched.prepare(con)
    con.execute("create or replace table slice.main.rule_problems (rule_id varchar, problem varchar)")


def prepare(con: "duckdb.DuckDBPyConnection", staged: Path) -> None:
    """`attach`, and show the centres' staged Parquet files as `staged.*`."""
    attach(con)
    for name in [*study.staged_tables(), *TECHNICAL, *LIFE]:
        source = f"read_parquet({study.sql_literal(str(staged / '*' / f'{name}.parquet'))}, union_by_name = true)"
        con.execute(f"create or replace view slice.main.staged_{name} as from {source}")


def show(con: "duckdb.DuckDBPyConnection", names: Iterable[str], where: str = "") -> None:
    """Let each `schema.table` resolve to the stored rows, or to those of the subjects for whom `where` holds."""
    for full_name in names:
        schema, name = full_name.split(".")
        source = f"slice.main.staged_{name}" if schema == "staged" else f"store.{full_name}"
        declared = study.tables().get(f"harmonised.{name}" if schema == "staged" else full_name)
        narrowed = where and declared is not None and declared.by == "subject"
        con.execute(f"create or replace view slice.{full_name} as from {source}{f' where {where}' if narrowed else ''}")


def shares(con: "duckdb.DuckDBPyConnection", model: Model, known: str = EVERYBODY) -> list[str]:
    """Conditions that divide the subjects whose rows are made; an empty one where all go at once."""
    at_once = model.table.by != "subject" or model.schema == "harmonised"
    return [""] if at_once else ranges(con, known)


def ranges(con: "duckdb.DuckDBPyConnection", known: str = EVERYBODY) -> list[str]:
    """Conditions that divide the subjects of a table into about `AT_ONCE` each; ranges, so that the rows of a share lie
    together in every table that was made by shares."""
    if not exists(con, "harmonised.links"):
        return [""]
    (n,) = con.execute(f"select count(distinct usubjid) from {known}").fetchall()[0]
    starts = con.execute(
        f"""select min(usubjid) from (select usubjid, ntile({max(-(-n // AT_ONCE), 1)}) over (order by usubjid) as share
            from (select distinct usubjid from {known})) group by share order by share"""
    ).fetchall()
    bounds = [study.sql_literal(start) for (start,) in starts[1:]]
    return [
        " and ".join([f"usubjid >= {low}"] * bool(low) + [f"usubjid < {high}"] * bool(high))
        for low, high in zip(["", *bounds], [*bounds, ""], strict=True)
    ]


@cache
def is_watched(full_name: str) -> bool:
    """Whether differences in a table can concern tables kept by subject: what came in, and what is kept for the study
    and read by those."""
    table = study.tables()[full_name]
    if table.by == "subject":
        return full_name.startswith("harmonised.") and touched.tells(table)
    return any(full_name in m.deps for m in load().values() if m.table.by == "subject")


def run(con: "duckdb.DuckDBPyConnection", model: Model, only_touched: bool = False) -> int:
    """Make the model's table for all subjects, or replace the rows of those that `touched` lists; returns the rows of
    the table.

    Tables kept for the study are always made in full. Columns are cast to the declared types, so that a column which
    is missing from the SQL stops here. Raises `MappingError` naming the file.
    """
    import duckdb

    again = only_touched and exists(con, model.full_name)
    watched = again and is_watched(model.full_name)
    only_touched = again and model.table.by == "subject"
    whom = touched.whom(con, [model.full_name], reads()) if only_touched else EVERYBODY
    columns = ", ".join(f'cast("{c.name}" as {c.sql_type}) as "{c.name}"' for c in model.table.columns)
    target = f"store.{model.full_name}"
    try:
        for number, share in enumerate(shares(con, model, whom)):
            wanted = [share] * bool(share) + [f"usubjid in (from {whom})"] * only_touched
            show(con, model.deps, " and ".join(wanted))
            con.execute("use slice")
            if only_touched or watched:
                where = " and ".join(wanted) or "true"
                with_room(con, f"create or replace temp table replacement as select {columns} from (\n{model.sql}\n)")
                if watched:
                    touched.note(con, model.full_name, "replacement", where)
                con.execute("begin")
                con.execute(f"delete from {target} where {where}")
                con.execute(f"insert into {target} from replacement; commit; drop table replacement")
            else:
                making = f"insert into {target}" if number else f"create or replace table {target} as"
                with_room(con, f"{making} select {columns} from (\n{model.sql}\n)")
            con.execute("use memory")
    except duckdb.Error as error:
        if disk_full(error):
            raise DiskFull from None
        where = f"{model.path.parent.name}/{model.path.name}"
        spoken = isinstance(error, duckdb.BinderException | duckdb.CatalogException | duckdb.ParserException)
        # a conversion error quotes the row's value, which belongs in no log
        raise MappingError(f"{where}: {error if spoken else type(error).__name__}") from None
    finally:
        con.execute("use memory")
    return count(con, target)
