"""What `restage trace` answers: a row, a subject, a query or a figure of the report, each with the way back to raw."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pipelines.trace import address, cells, show
from pipelines.trace.chain import Steps, open_trace, steps
from pipelines.trace.landed import Place, Record, records
from pipelines.trace.rows import Row, columns_of
from pipelines.warehouse import Home

if TYPE_CHECKING:
    import duckdb

TEXT = 300  # characters of a record in a list
RECORDS = 12  # behind one subject of a figure; the command shown leads to all of them


@dataclass(frozen=True)
class Trace:
    """A way back: where it begins, every row on it, and the records at its end; of a figure also what it is."""

    roots: tuple[Row, ...]
    steps: Steps
    records: Mapping[Row, Record]
    subjects: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    cell: cells.Cell | None = None
    all_subjects: bool = True

    def data(self) -> dict[str, Any]:
        """For machines."""
        found = show.data(self.roots, self.steps, self.records)
        found["subjects"] = {s: [f"{r.table} {address.written(r)}" for r in rows] for s, rows in self.subjects.items()}
        if self.cell:
            found["cell"] = {
                "table": self.cell.row.table, "row": address.written(self.cell.row), "row_key": self.cell.row_key,
                "column": self.cell.column, "value": self.cell.values[self.cell.column],
                "made_by": show.file_of(self.cell.row.table), "all_subjects": self.all_subjects,
            }  # fmt: skip
        return found

    def lines(self, home: str = "study-home", whole: bool = False) -> Iterator[str]:
        """For a reader: the tree of one row; of several the rows with their records by subject (`whole`: as trees)."""
        if self.cell:
            yield from self._head()
        if whole or not self.subjects:
            yield from show.lines(self.roots, self.steps, self.records)
            return
        for subject, rows in self.subjects.items():
            yield ""
            yield subject
            told: set[Place] = set()
            for row in rows:
                yield from self._short(row, told)
                yield f"    every step: {address.command(row, home)}"

    def _head(self) -> Iterator[str]:
        assert self.cell
        values = self.cell.values
        label = ": ".join(str(values[name]) for name in ("section", "label") if values.get(name))
        yield f"{self.cell.row.table}  {self.cell.row_key or address.written(self.cell.row)}" + (
            f"  ({label})" if label else ""
        )
        yield f"{self.cell.column} {values[self.cell.column]}" + (
            f", printed {values['value_text']}" if "value_text" in values else ""
        )
        yield show.file_of(self.cell.row.table) or ""
        n = len(self.subjects)
        yield ("" if self.all_subjects else "the first ") + (f"{n} subjects" if n != 1 else "1 subject")

    def _short(self, row: Row, told: set[Place]) -> Iterator[str]:
        """A row behind a figure with what it holds, and the records at its end that were not told yet."""
        step = self.steps[row]
        held = " · ".join(f"{name} {value}" for name, value in show.held(step).items())
        yield f"  {row.table} {address.written(row)}" + (f": {held}" if held else "")
        yield from (f"    “{sentence}”" for sentence in show.reasons(step))
        ends = [r for r in self.reached(row) if r in self.records]
        matter = [r for r in ends if self.steps[r].columns] or ends
        new = {self.records[r].place: self.records[r] for r in matter if self.records[r].place not in told}
        told.update(new)
        for record in list(new.values())[:RECORDS]:
            centre, _, source_file, source_row = record.place
            text = record.line if record.line is not None else show.cells_text(record.cells)
            yield f"    {centre} {source_file}, row {source_row}: {shorten(text)}"
        if matter and not new:
            yield "    its records stand above"
        if len(new) > RECORDS:
            yield f"    and {len(new) - RECORDS} more records"

    def reached(self, row: Row) -> list[Row]:
        """A row and all that it needs, each once, in the order of the tree."""
        found: dict[Row, None] = {}
        pending = [row]
        while pending:
            at = pending.pop()
            if at in self.steps and at not in found:
                found[at] = None
                pending += reversed(self.steps[at].up)
        return list(found)


def shorten(text: str) -> str:
    """The beginning of a long record; the tree of its row shows all of it."""
    return text if len(text) <= TEXT else f"{text[:TEXT]} ..."


def trace_rows(home: Home, table: str, key: str, whole: bool = False) -> Trace:
    """One row of any table by its key; of a report table the figure, of a query's step the query.

    Raises `UsageError`, as all of these do.
    """
    con = open_trace(home)
    full = address.table_named(table)
    row = address.rows_at(con, full, key)
    if address.traceable(full):
        return _back(con, home, {row: columns_of(full)}, whole)
    if not full.startswith("reports."):
        row = address.query_of(con, row)
        return _back(con, home, {row: columns_of(row.table)}, whole)
    return _cell(con, home, cells.at_row(full, cells.row_values(con, row)), whole)


def trace_subject(home: Home, usubjid: str, whole: bool = False) -> Trace:
    """All endpoints, irradiated sites and the eligibility of a subject."""
    con = open_trace(home)
    rows = address.subject_rows(con, usubjid)
    found = _back(con, home, {row: columns_of(row.table) for row in rows}, whole)
    return replace(found, subjects={usubjid: rows})


def trace_query(home: Home, query_id: str, whole: bool = False) -> Trace:
    """A query: the rule that asks, the row that it asks about, and the record."""
    con = open_trace(home)
    row = address.query_row(con, query_id)
    return _back(con, home, {row: columns_of(row.table)}, whole)


def trace_cell(home: Home, at: str, whole: bool = False) -> Trace:
    """A figure of a report table: its subjects, their rows and records; of a subject's own row the way back."""
    con = open_trace(home)
    cell = cells.cell_at(con, at)
    if address.traceable(cell.row.table):
        return _back(con, home, {cell.row: columns_of(cell.row.table)}, whole)
    return _cell(con, home, cell, whole)


def _back(con: "duckdb.DuckDBPyConnection", home: Home, roots: Mapping[Row, Any], whole: bool) -> Trace:
    found = steps(con, roots, whole)
    return Trace(tuple(roots), found, records(con, home, found.values()))


def _cell(con: "duckdb.DuckDBPyConnection", home: Home, cell: cells.Cell, whole: bool) -> Trace:
    behind = cells.behind(con, cell)
    roots = {row: behind.columns[row.table] for rows in behind.subjects.values() for row in rows}
    found = steps(con, roots, whole)
    return Trace(tuple(roots), found, records(con, home, found.values()), behind.subjects, cell, behind.all_of_them)
