"""The subjects and rows behind one figure of a report table: found by counting it again over parts of the cohort."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from pipelines import models, study
from pipelines.errors import UsageError
from pipelines.trace.address import table_named
from pipelines.trace.chain import recorded
from pipelines.trace.rows import Row, columns_of, figures_of, of_subjects, place, row_test, words_of
from pipelines.yaml_schema import nearest

if TYPE_CHECKING:
    import duckdb

TIMES = "derived.adtte"
STATISTICS = ("reports.pfs_summary", "reports.survival_summary", "reports.survival_at_times")  # from these times
SHOWN = 30  # subjects
MANY = 1000  # subjects whose names are no longer listed one by one
NAMED = 12  # addresses shown where several fit
MEASURES = ("n", "n_any", "n_with", "n_lesions", "value")  # what a row is asked for where no column is named


@dataclass(frozen=True)
class Cell:
    """One figure: a row of a report table and one of its columns."""

    row: Row
    column: str
    values: Mapping[str, Any]

    @property
    def row_key(self) -> str | None:
        return self.values.get("row_key")


@dataclass(frozen=True)
class Behind:
    """What a figure was counted from: rows by subject, by table the columns that matter, and whether that is all."""

    subjects: Mapping[str, Sequence[Row]]
    columns: Mapping[str, frozenset[str]]
    all_of_them: bool


def cell_at(con: "duckdb.DuckDBPyConnection", address: str) -> Cell:
    """`table2/bone/PR`: a report table, words of the row's key in any order, and a column where it is not its count.

    Raises `UsageError` for a table, row or column that is not there, with the nearest address, or with all that fit.
    """
    if not address.strip("/"):
        raise UsageError("A figure is named by its table and words of its row, as in table2/bone/PR.")
    name, *words = [part for part in address.split("/") if part]
    tables = [t for t in study.tables() if t.startswith("reports.")]
    table = table_named(name)
    if table not in tables:
        raise UsageError(f"{name!r} is no report table; for a row of it say --table {table} --key KEY.")
    columns = [w.lower() for w in words if w.lower() in figures_of(table)]
    words = [w.lower() for w in words if w.lower() not in columns]
    rows = {words_of(table, values): values for values in _rows(con, f"store.{table}", table)}
    fitting = [known for known in rows if set(words) <= set(known)]
    exact = [known for known in fitting if len(known) == len(words)]
    chosen = exact or fitting
    if len(chosen) != 1:
        at = sorted("/".join((name, *known)) for known in (chosen if words else rows))
        if chosen:
            shown = ", ".join(at[:NAMED]) + (", ..." if len(at) > NAMED else "")
            raise UsageError(f"{address!r} fits several rows: {shown}.")
        known_words = sorted({w for known in rows for w in known} | figures_of(table))
        wrong = next((w for w in words if w not in known_words), "")
        if words and not wrong:
            raise UsageError(f"{name} has no row for {' and '.join(words)} together: nobody is counted there.")
        raise UsageError(f"{name} has no row with {wrong!r} in {address!r}{nearest(wrong, known_words)}")
    return at_row(table, rows[chosen[0]], columns[0] if columns else None)


def at_row(table: str, values: Mapping[str, Any], column: str | None = None) -> Cell:
    """The figure of a row, its count where no column is named."""
    figures = figures_of(table)
    if not figures:
        raise UsageError(f"{table} holds no figure of its own: ask for one of those that it is about.")
    column = column or next((m for m in MEASURES if m in figures), None) or sorted(figures)[0]
    key = tuple(None if values[c] is None else str(values[c]) for c in study.tables()[table].key)
    return Cell(Row(table, key), column, values)


def row_values(con: "duckdb.DuckDBPyConnection", row: Row) -> dict[str, Any]:
    """What a row of a report table holds."""
    return _rows(con, f"store.{row.table} t where {row_test(row.table, row.key)}", row.table)[0]


def behind(con: "duckdb.DuckDBPyConnection", cell: Cell) -> Behind:
    """The subjects whose rows a figure needs, the first of them, each with these rows of the tables it is made from.

    Raises `UsageError` for a table that is reckoned from other figures.
    """
    if cell.row.table in STATISTICS:
        return _times(con, cell)
    made = Recount(con, cell.row.table)
    everybody = [s for (s,) in con.execute("select usubjid from store.derived.adsl order by usubjid").fetchall()]
    subjects = made.counted(cell, everybody)
    part = tuple(subjects[:SHOWN])
    tables = [t for t in made.sources if part and made.value(cell, part, without=t) != made.value(cell, part)]
    tables.sort(
        key=lambda t: (study.tables()[t].key == ("usubjid",), t)
    )  # what is said of the whole subject comes last
    return Behind(
        {s: [row for t in tables for row in made.rows(cell, s, t)] for s in part},
        {t: made.columns(cell, part, t) for t in tables},
        len(subjects) <= SHOWN,
    )


def _times(con: "duckdb.DuckDBPyConnection", cell: Cell) -> Behind:
    """Figures of the survival engine rest on the times of their endpoint: all, the events, or the censored ones."""
    kinds = {"n_event": " and cnsr = 0", "n_censored": " and cnsr > 0"}
    where = f"paramcd = {study.sql_literal(cell.values['paramcd'])}{kinds.get(cell.column, '')}"
    grouping = cell.values.get("grouping")
    if grouping not in (None, "all"):
        own = f'(select "{grouping}"::varchar from store.derived.adsl s where s.usubjid = t.usubjid)'
        where += f" and {own} = {study.sql_literal(cell.values['group_key'])}"
    key = ", ".join(f't."{c}"::varchar' for c in study.tables()[TIMES].key)
    found: dict[str, list[Row]] = {}
    for k in con.execute(f"select {key} from store.{TIMES} t where {where} order by all").fetchall():
        found.setdefault(k[0], []).append(Row(TIMES, tuple(k)))
    shown = dict(list(found.items())[:SHOWN])
    return Behind(shown, {TIMES: frozenset({"adt", "aval_months", "cnsr", "startdt"})}, len(found) <= SHOWN)


class Recount:
    """A report table made again from the rows of some subjects: the SQL files between it and the subjects' tables."""

    def __init__(self, con: "duckdb.DuckDBPyConnection", table: str) -> None:
        self.con, self.table = con, table
        self.chain = _chain(table)
        self.sources = tuple(sorted({d for m in self.chain for d in m.deps if of_subjects(d)}))
        if not self.sources:
            raise UsageError(f"{table} is reckoned from other report tables, not from rows of subjects.")
        if any(d.startswith("staged.") for m in self.chain for d in m.deps):
            raise UsageError(
                f"{table} is counted from what each delivery held, not from rows that the warehouse keeps."
            )
        self.words = set(re.findall(r"\w+", " ".join(m.sql for m in self.chain)))
        self.known: dict[tuple[Any, ...], dict[tuple[str | None, ...], dict[str, Any]]] = {}

    def value(
        self, cell: Cell, subjects: Sequence[str], without: str = "", blank: str = "", but: Row | None = None
    ) -> Any:
        """The figure as these subjects alone make it; 0 where the row is not there. `without` a whole table, with a
        column of it left `blank`, or without one row."""
        at = (tuple(subjects), without, blank, but)
        if at not in self.known:
            self._show(*at)
            self.con.execute("use slice")
            for m in self.chain:
                self.con.execute(f"drop view if exists {m.full_name}; create table {m.full_name} as\n{m.sql}")
            rows = _rows(self.con, self.table, self.table)
            for m in self.chain:
                self.con.execute(f"drop table {m.full_name}")
            self.con.execute("use memory")
            self.known[at] = {place(self.table, values): values for values in rows}
        found = self.known[at].get(place(self.table, cell.values), {})
        return found.get(cell.column) or 0

    def counted(self, cell: Cell, subjects: Sequence[str]) -> list[str]:
        """Those of the subjects who add to the figure, found by halves; stops after the first ones."""
        nothing = self.value(cell, ())
        found: list[str] = []
        parts = [subjects]
        while parts and len(found) <= SHOWN:
            part = parts.pop()
            if not part or self.value(cell, part) == nothing:
                continue
            if len(part) == 1:
                found += part
            else:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
        return found

    def rows(self, cell: Cell, subject: str, table: str) -> list[Row]:
        """The rows of one of its tables without which a subject does not add to the figure as it does."""
        key = ", ".join(f'"{c}"::varchar' for c in study.tables()[table].key)
        where = f"usubjid = {study.sql_literal(subject)}"
        mine = self.con.execute(f"select {key} from store.{table} where {where} order by all").fetchall()
        rows = [Row(table, tuple(k)) for k in mine]
        alone = self.value(cell, (subject,))
        return rows if len(rows) == 1 else [r for r in rows if self.value(cell, (subject,), table, but=r) != alone]

    def columns(self, cell: Cell, subjects: Sequence[str], table: str) -> frozenset[str]:
        """Of one of its tables the columns without whose values the figure would be another."""
        key = study.tables()[table].key
        named = [c for c in columns_of(table) if c in self.words and c not in {*key, *study.PROVENANCE}]
        as_is = self.value(cell, subjects)
        return frozenset(c for c in named if self.value(cell, subjects, table, blank=c) != as_is)

    def _show(self, subjects: Sequence[str], without: str, blank: str, but: Row | None) -> None:
        """Let the names in the SQL mean the rows of these subjects."""
        of_them = f"usubjid in ({', '.join(study.sql_literal(s) for s in subjects) or 'null'})"
        if len(subjects) > MANY:  # halves of all subjects in their order
            of_them = f"usubjid between {study.sql_literal(subjects[0])} and {study.sql_literal(subjects[-1])}"
        mine = {m.full_name for m in self.chain}
        for dep in {d for m in self.chain for d in m.deps} - mine:
            where = f" where {of_them}" if dep in self.sources else ""
            columns = "*"
            if dep == without and blank:
                kind = next(c.sql_type for c in study.tables()[dep].columns if c.name == blank)
                columns = f'* replace (null::{kind} as "{blank}")'
            elif dep == without:
                where += f" and not ({row_test(dep, but.key)})" if but else " and false"
            self.con.execute(f"create or replace view slice.{dep} as select {columns} from store.{dep} t{where}")


@cache
def _chain(table: str) -> tuple[models.Model, ...]:
    """The models from those that read subjects' rows to the table, in order."""
    loaded = models.load()
    wanted = {table}
    for name in reversed(loaded):
        if name in wanted:
            wanted |= {d for d in loaded[name].deps if d in loaded and d.startswith("reports.") and not of_subjects(d)}
    return tuple(m for name, m in loaded.items() if name in wanted and not recorded(name))


def _rows(con: "duckdb.DuckDBPyConnection", source: str, table: str) -> list[dict[str, Any]]:
    names = columns_of(table)
    listed = ", ".join(f'"{c}"' for c in names)
    return [dict(zip(names, row, strict=True)) for row in con.execute(f"select {listed} from {source}").fetchall()]
