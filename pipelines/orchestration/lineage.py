"""Which columns a column is made from, read from the SQL of the models by sqlglot.

Said of a column: every stored column that goes into its value, through whatever common table expressions lie between.
What only chooses rows (`where`, `join ... on`, `group by`) is said by the lineage of the tables.
"""

import json
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import alternatives, independent, models, study
from pipelines.models import Model, technical_type
from pipelines.orchestration.take_in import TECHNICAL
from pipelines.warehouse import write_whole

if TYPE_CHECKING:
    from sqlglot import exp

# by column: the full names `schema.table.column` that it is made from; none for a constant or a count of rows.
# A column that is not there could not be followed.
Origins = Mapping[str, tuple[str, ...]]
Shapes = Mapping[str, Mapping[str, str]]
NAME = "lineage.json"


@cache
def shapes() -> Shapes:
    """The columns of every table that a model can read, with their types, by the table's full name."""
    found = {name: {c.name: c.sql_type for c in table.columns} for name, table in study.tables().items()}
    beside = dict.fromkeys((*study.PROVENANCE, "_since"), "varchar")
    for name in study.staged_tables():
        found[f"staged.{name}"] = {c.name: c.sql_type for c in study.staged_columns(name).values()} | beside
    for name, columns in TECHNICAL.items():
        found[f"staged.{name}"] = {c: technical_type(c) for c in columns.split(", ")}
    return found


@cache
def _study_words() -> Shapes:
    """The tables of schema `study`, as they are made."""
    from contextlib import closing

    from pipelines import study_schema, warehouse
    from pipelines.centres import create_table

    found: dict[str, dict[str, str]] = {}
    with closing(warehouse.memory()) as con:
        study_schema.create_schema(con)
        create_table(con, {})
        listed = "select table_name, column_name, data_type from duckdb_columns() where schema_name = 'study'"
        for table, column, kind in con.execute(listed).fetchall():
            found.setdefault(f"study.{table}", {})[column] = kind
    return found


def origins_of(model: Model) -> Origins:
    """What each declared column of a model is made from; nothing is said of a column that sqlglot cannot follow."""
    from sqlglot import errors, exp, lineage, parse_one
    from sqlglot.optimizer import build_scope, qualify

    known = {**shapes(), **_study_words()}
    schema: dict[str, Any] = {}
    if not known.keys() >= set(model.deps):
        return {}
    for name in model.deps:
        schema.setdefault(name.split(".")[0], {})[name.split(".")[1]] = known[name]
    try:
        tree = qualify.qualify(
            parse_one(model.sql, dialect="duckdb"),
            dialect="duckdb", schema=schema, validate_qualify_columns=False, identify=False, quote_identifiers=False,
        )  # fmt: skip
        for union in reversed(list(tree.find_all(exp.SetOperation))):
            if union.args.get("by_name"):
                _by_place(union)
        for window in tree.find_all(exp.Window):
            _in_words(window)
        made = lineage.lineage(None, tree, schema, dialect="duckdb", scope=build_scope(tree), trim_selects=False)
    except (errors.SqlglotError, ValueError):
        return {}
    found = {}
    for column in (c.name for c in model.table.columns if c.name in made):
        nodes = list(made[column].walk())
        leaves = [node for node in nodes if not node.downstream]
        # a source that is not known, or columns that only DuckDB could name
        lost = any(isinstance(node.expression, exp.Placeholder) for node in leaves)
        if not lost and not any(node.expression.find(exp.Columns) for node in nodes):
            stored = {
                f"{node.source.db}.{node.source.name}.{node.name.rpartition('.')[2]}"
                for node in leaves
                if node.expression is node.source and isinstance(node.source, exp.Table)
            }
            # a function that gives rows is no table
            if all(name.rpartition(".")[0] in model.deps for name in stored):
                found[column] = tuple(sorted(stored))
    return found


def _by_place(union: "exp.SetOperation") -> None:
    """Let both sides of a `union by name` have the same columns in the same order, as sqlglot takes every union."""
    from sqlglot import exp

    sides = (union.left, union.right)
    names = list(dict.fromkeys(name for side in sides for name in side.named_selects))
    for select in (s for side in sides for s in _selects(side)):
        given = {s.alias_or_name: s for s in select.selects}
        select.set("expressions", [given.get(name) or exp.alias_(exp.null(), name) for name in names])
    union.set("by_name", False)


def _in_words(window: "exp.Window") -> None:
    """Put in place of a window's name what it stands for."""
    from sqlglot import exp

    select = window.find_ancestor(exp.Select)
    named = {w.name: w for w in select.args.get("windows") or ()} if select else {}
    if meant := named.get(window.alias):
        for part in ("partition_by", "order", "spec"):
            window.set(part, window.args.get(part) or meant.args.get(part))


def _selects(side: "exp.Expr") -> "list[exp.Select]":
    from sqlglot import exp

    if isinstance(side, exp.Subquery):
        return _selects(side.this)
    return [*_selects(side.left), *_selects(side.right)] if isinstance(side, exp.SetOperation) else [side]  # type: ignore[list-item]


def load_origins(path: Path) -> dict[str, Origins]:
    """The origins of every table that SQL makes; what was found before for the same SQL and columns is kept in `path`.

    | out | |
    |---|---|
    | key | full name of a table: the models, and the passes that run the same SQL again |
    | value | `Origins` |
    """
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        kept = {}  # not there yet, or damaged: all of it can be found again
    now, found = {}, {}
    for name, model in models.load().items():
        digest = _digest(model)
        said = kept.get(digest)
        found[name] = {c: tuple(o) for c, o in said.items()} if said is not None else origins_of(model)
        now[digest] = found[name]
    if now.keys() != kept.keys():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(now))
    chain = {m.full_name for switch in study.readings() for m in alternatives.chain(switch)}
    again = {m.full_name for m in independent.chain()}
    found[alternatives.TABLE] = _through(found, alternatives.RESPONSES, chain, {}, alternatives.TABLE)
    reader = {c: (f"{independent.OWN['harmonised.measurements']}.{c}",) for c in ("eval", "evalid")}
    read = _through(found, independent.RESPONSES, again, independent.OWN, independent.TABLE)
    found[independent.TABLE] = {**read, **reader}
    return found


def _digest(model: Model) -> str:
    """Names what the origins of a model depend on. Code lists are not asked: DuckDB refuses an ambiguous name."""
    read = {name: list(shapes().get(name, ())) for name in model.deps}
    about = [model.sql, [c.name for c in model.table.columns], read, version("sqlglot"), _how()]
    return sha256(json.dumps(about).encode()).hexdigest()[:16]


@cache
def _how() -> str:
    return sha256(Path(__file__).read_bytes()).hexdigest()


def _through(
    found: Mapping[str, Origins], last: str, remade: set[str], instead: Mapping[str, str], table: str
) -> Origins:
    """The columns of `last` where the tables `remade` are made anew on the way, from `instead` of what is stored."""

    @cache
    def roots(column: str) -> frozenset[str]:
        name, _, field = column.rpartition(".")
        if name in remade:
            return frozenset().union(*map(roots, found[name].get(field, ())))
        return frozenset([f"{instead.get(name, name)}.{field}"])

    declared = [c.name for c in study.tables()[table].columns]
    return {c: tuple(sorted(roots(f"{last}.{c}"))) for c in declared if c in found[last]}
