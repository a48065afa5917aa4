"""A chain of models made once more from other rows: the names in their SQL resolve to a third database, `other`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipelines import models, study
from pipelines.warehouse import with_room

if TYPE_CHECKING:
    import duckdb


def chain(last: str, is_changed: Callable[[models.Model], bool]) -> tuple[models.Model, ...]:
    """The models on the way to `last`, in order, that are changed themselves or read from one that is."""
    loaded = models.load()
    before: set[str] = {last}
    for name in reversed(loaded):
        if name in before:
            before.update(loaded[name].deps)
    changed: list[str] = []
    for name, model in loaded.items():
        if name in before and (is_changed(model) or any(d in changed for d in model.deps)):
            changed.append(name)
    return tuple(loaded[name] for name in changed)


@contextmanager
def other(con: "duckdb.DuckDBPyConnection", chosen: str) -> Iterator[None]:
    """The database `other` with `main.chosen`, the rows of the query `chosen`; it is gone afterwards."""
    con.execute("attach ':memory:' as other")
    try:
        con.execute(f"create table other.main.chosen as {chosen}")
        for schema in (*models.LAYERS, "study"):
            con.execute(f"create schema other.{schema}")
        yield
    finally:
        con.execute("use memory; detach other")


def remake(
    con: "duckdb.DuckDBPyConnection",
    remade: Sequence[models.Model],
    inputs: Callable[[str], str],
    given: Mapping[str, str],
    reasons: bool,
) -> str:
    """Make all of the chain but its last model in `other`; returns the SQL of the last, to be run there.

    `inputs`: the rows of a stored table that is kept by subject; the others are seen as they are. `given`: queries that
    stand in for a table. Without `reasons`, columns that give one in words are left empty.
    """
    names = {m.full_name for m in remade}
    for name in sorted({d for m in remade for d in m.deps} - names):
        declared = study.tables().get(name)
        by_subject = declared is not None and declared.by == "subject"
        rows = given.get(name) or (inputs(name) if by_subject else f"from store.{name}")
        con.execute(f"create view other.{name} as {rows}")
    con.execute("use other")
    for model in remade[:-1]:
        listed = _columns(model, reasons)
        with_room(con, f"create table other.{model.full_name} as select {listed} from (\n{model.sql}\n)")
    return remade[-1].sql


def _columns(model: models.Model, reasons: bool) -> str:
    """The declared columns; no reason need be put into words for a table that is not kept."""
    made = []
    for c in model.table.columns:
        is_reason = c.name == "reason" or c.name.endswith("_reason")
        source = "null" if is_reason and not reasons else f'"{c.name}"'
        made.append(f'cast({source} as {c.sql_type}) as "{c.name}"')
    return ", ".join(made)
