"""The way from a row back to what hospitals sent: each row with those it needs, down to records with file and row."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from pipelines import models, study
from pipelines.trace.rows import Row, as_text, columns_of, of_subjects, row_test
from pipelines.trace.witness import witnesses
from pipelines.warehouse import Home

if TYPE_CHECKING:
    import duckdb

FOLLOWED = 3  # of the rows of one table that only have to be there; the others are counted
PLACE = ("centre", "source_file", "source_row")
ALIKE = 20  # rows shown where only equal keys lead further back
# tables that no SQL file makes, with what each of their rows speaks of
IN_PYTHON = {
    "assessed.adrs_alternatives": ("pipelines/alternatives.py", ("assessed.adrs",)),
    "validated.rule_failures": ("pipelines/rules/run.py", ()),
}
OF_RULES = ("validated.rule_failures", "validated.queries")  # each row names the table that it is about


@dataclass
class Step:
    """One row on the way: which of its columns matter, what they hold, and the rows that it needs."""

    row: Row
    columns: frozenset[str]
    values: dict[str, Any]
    protocol: dict[str, str]  # the numbers that its SQL reads, as they were when the warehouse was made
    up: list[Row] = field(default_factory=list)
    also: dict[str, int] = field(default_factory=dict)  # table -> rows that only have to be there, not followed
    by_its_sql: bool = True  # else: the rows with the same key

    @property
    def recorded(self) -> bool:
        """Whether the row stands for a record of a hospital's file."""
        return recorded(self.row.table)


Steps = dict[Row, Step]


def open_trace(home: Home) -> "duckdb.DuckDBPyConnection":
    """The warehouse for reading, as `store`, and a place to try its SQL in, `slice`; raises as `open_read` does."""
    from pipelines import warehouse

    warehouse.open_read(home).close()
    con = warehouse.memory()
    con.execute("set threads = 1")  # many runs over few rows
    con.execute(f"attach {study.sql_literal(str(home.database))} as store (read_only); attach ':memory:' as slice")
    for schema in (*models.LAYERS, "study"):
        con.execute(f"create schema slice.{schema}")
    return con


@cache
def recorded(table: str) -> bool:
    """Whether each row of this table says which delivery, file and row it is."""
    return set(study.PROVENANCE) <= {*columns_of(table)}


def steps(con: "duckdb.DuckDBPyConnection", roots: Mapping[Row, Iterable[str]], whole: bool = False) -> Steps:
    """Every row on the way from `roots` (with the columns asked for) back to records, the roots first.

    `whole`: rows that only have to be there are followed too, however many there are.
    """
    wanted: dict[str, dict[Row, set[str]]] = defaultdict(dict)
    found: Steps = {}
    for row, columns in roots.items():
        wanted[row.table].setdefault(row, set()).update(columns)
    while wanted:
        table = max(wanted, key=_rank)
        asked = {row: frozenset(columns) for row, columns in wanted.pop(table).items()}
        values = _values(con, table, asked)
        numbers = _numbers(con, table)
        found |= {row: Step(row, columns, values[row], numbers) for row, columns in asked.items() if row in values}
        if recorded(table):
            continue
        needs = witnesses(con, models.load()[table], asked) if _runs_again(table) else {}
        for row in (r for r in asked if r in found):
            step = found[row]
            step.by_its_sql = row in needs
            needed = needs[row] if step.by_its_sql else _alike(con, step)
            for other, columns in _followed(step, needed, whole):
                wanted[other.table].setdefault(other, set()).update(columns)
    return found


def _numbers(con: "duckdb.DuckDBPyConnection", table: str) -> dict[str, str]:
    """The numbers of the protocol that the SQL of a table reads, with their units."""
    model = models.load().get(table)
    named = set(re.findall(r"\bp\.(\w+)", model.sql)) if model and "study.protocol" in model.deps else set()
    if not named:
        return {}
    listed = ", ".join(map(study.sql_literal, sorted(named)))
    return dict(
        con.execute(f"""
            select name, concat_ws(' ', value, unit) from store.study.parameters where name in ({listed}) order by name
        """).fetchall()
    )


def _runs_again(table: str) -> bool:
    """Whether a table can be made from what the warehouse holds of a subject; staged files are not in it."""
    model = models.load().get(table)
    return model is not None and of_subjects(table) and all(d.split(".")[0] != "staged" for d in model.deps)


def _followed(step: Step, needed: Mapping[Row, set[str]], whole: bool) -> Iterable[tuple[Row, set[str]]]:
    """What a step needs: rows whose values matter first, then a few of those that only have to be there."""
    only: Counter[str] = Counter(row.table for row, columns in needed.items() if not columns)
    matter = {row.table for row, columns in needed.items() if columns}
    # beside rows whose values matter, a long list of others says nothing more
    room = {t: n if whole or n <= FOLLOWED else 0 if t in matter else FOLLOWED for t, n in only.items()}
    step.also = {t: n - room[t] for t, n in only.items() if n > room[t]}
    for row, columns in sorted(needed.items(), key=lambda item: (not item[1], -_rank(item[0].table))):
        if columns or room[row.table] > 0:
            room[row.table] = room.get(row.table, 0) - (not columns)
            step.up.append(row)
            yield row, columns


@cache
def _order() -> dict[str, int]:
    loaded = models.load()
    reads = {name: {d for d in m.deps if d in study.tables()} for name, m in loaded.items()}
    # what rules look at is made before them
    before = {t for t in reads if t.split(".")[0] in ("harmonised", "assessed")} | {"validated.screening"}
    reads |= {"validated.rule_failures": before, "assessed.adrs_alternatives": {"assessed.adrs"}}
    return {name: place for place, name in enumerate(TopologicalSorter(reads).static_order())}


def _rank(table: str) -> int:
    """Later tables first: a row is looked at when all that ask for it are known."""
    return _order().get(table, -1)


def _values(con: "duckdb.DuckDBPyConnection", table: str, rows: Iterable[Row]) -> dict[Row, dict[str, Any]]:
    """What the rows hold, by row; one that is not there is missing."""
    declared = study.tables()[table]
    numbered = list(rows)
    found: dict[Row, dict[str, Any]] = {}
    for start in range(0, len(numbered), 200):  # a condition a row
        part = numbered[start : start + 200]
        tests = " or ".join(f"({row_test(table, row.key)})" for row in part)
        listed = ", ".join(f'"{c.name}"' for c in declared.columns)
        cursor = con.execute(f"select {listed} from store.{table} t where {tests}")
        for values in (dict(zip(columns_of(table), v, strict=True)) for v in cursor.fetchall()):
            found.setdefault(Row(table, tuple(as_text(values[c]) for c in declared.key)), values)
    return found


def _alike(con: "duckdb.DuckDBPyConnection", step: Step) -> dict[Row, set[str]]:
    """Where no SQL tells: the rows of what it was made from that have the same key, or the same record."""
    table, values = step.row.table, step.values
    sources: Iterable[str] = IN_PYTHON[table][1] if table in IN_PYTHON else ()
    if table in models.load():
        sources = models.load()[table].deps
    if table in OF_RULES:
        sources = (str(values["table_name"]),)
    found: dict[Row, set[str]] = {}
    for source in (s for s in sources if of_subjects(s)):
        declared = study.tables()[source]
        columns = {c for c in columns_of(source) if c in values}
        if source == values.get("table_name"):
            columns = {str(values["field"])} & {*columns_of(source)}
        rows = next(filter(None, (_matching(con, source, values, by) for by in _shared(source, values))), [])
        found |= {Row(source, k): columns - {*declared.key, *study.PROVENANCE} for k in _meant(rows, values)[:ALIKE]}
    return found


def _shared(source: str, values: Mapping[str, Any]) -> Iterable[set[str]]:
    """By which columns rows of a table may be meant: its whole key, the record, or what there is of the key."""
    key, both = {*study.tables()[source].key}, {c for c in columns_of(source) if c in values}
    here = {c for c in both if values[c] is not None}
    if key <= both and ("usubjid" not in key or "usubjid" in here):
        yield key
    if here.issuperset(PLACE):
        yield {*PLACE}
    if "usubjid" in here:
        yield here & key - {"centre"}  # the centre that is asked need not be the one that sent the row


def _matching(
    con: "duckdb.DuckDBPyConnection", source: str, values: Mapping[str, Any], by: Iterable[str]
) -> list[tuple[str | None, ...]]:
    """Keys of the rows that hold the same in these columns."""
    tests = " and ".join(
        f't."{c}"::varchar is not distinct from {study.sql_literal(as_text(values[c]))}' for c in sorted(by)
    )
    key = ", ".join(f'"{c}"::varchar' for c in study.tables()[source].key)
    return con.execute(f"select {key} from store.{source} t where {tests} order by all").fetchall()


def _meant(rows: Sequence[tuple[str | None, ...]], values: Mapping[str, Any]) -> list[tuple[str | None, ...]]:
    """Of several rows those that the key of a finding's record names most of."""
    named = set(str(values.get("record_key")).split("|"))
    most = max((len(named.intersection(filter(None, row))) for row in rows), default=0)
    return [row for row in rows if len(named.intersection(filter(None, row))) == most]
