"""A workbook in a hospital's habits: merged headers, real dates beside text, repeated page headers, hidden sheets."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study

if TYPE_CHECKING:
    import duckdb

ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
NUMBER = re.compile(r"-?\d+(\.\d+)?")
JOIN = "|"
FETCH = 10_000


def write(con: "duckdb.DuckDBPyConnection", spec: Mapping[str, Any], target: Path) -> None:
    """Write one workbook; each of `spec.sheets` has the rows of its select (grain: a row a row) as cells.

    A sheet: name, hidden, title (lines above the header), header_rows (1; 2 splits `Basale|Data` into a merged upper
    and a lower cell), page {rows, footer, header} (after so many rows footer lines, then the header again unless header
    is false), footer, hidden_row (the number of a row of data).
    A line is a text or a list of cells; `{rows}`, `{page}` and `{extract_date}` are filled in. dates, numbers: regular
    expressions on column names, whose ISO dates and plain decimals become real cells while any other text stays text (a
    plain decimal among dates is a day number); formulas: decimals that are the stored result of a formula; date_format.
    pivot {on, order, take}: for each value of `on`, by `order`, the columns of `take` as `value|column`; all other
    columns are the key, and order the rows. Equal input gives equal bytes.
    """
    import xlsxwriter

    made = datetime.combine(spec["extract_date"], datetime.min.time())
    # constant memory: row by row, so that a large cohort does not have to fit
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(str(target), options) as workbook:
        workbook.set_properties({"created": made})
        for sheet in spec["sheets"]:
            _Sheet(workbook, sheet, {"extract_date": spec["extract_date"]}).fill(con)


def twin(con: "duckdb.DuckDBPyConnection", spec: Mapping[str, Any], part: str) -> str:
    """The select whose columns and text are those of sheet `part` as a reader sees it."""
    return _select(con, {sheet["name"]: sheet for sheet in spec["sheets"]}[part])


def _select(con: "duckdb.DuckDBPyConnection", sheet: Mapping[str, Any]) -> str:
    """The sheet's select; a pivoted one gets as many blocks as the data has values."""
    select = str(sheet["select"])
    if "pivot" not in sheet:
        return select
    on, order, take = sheet["pivot"]["on"], sheet["pivot"]["order"], sheet["pivot"]["take"]
    blocks = [
        block
        for (block,) in con.execute(
            f'select "{on}" from ({select}) where "{on}" is not null group by all order by min("{order}")'
        ).fetchall()
    ]
    key = [f'"{c[0]}"' for c in con.execute(f"describe {select}").fetchall() if c[0] not in (on, order, *take)]
    listed = ", ".join(key)
    if not blocks:
        return f"select distinct {listed} from ({select}) order by {listed}"
    using = ", ".join(f'first("{column}") as "{column}"' for column in take)
    named = ", ".join(f'"{block}_{column}" as "{block}{JOIN}{column}"' for block in blocks for column in take)
    values = ", ".join(study.sql_literal(block) for block in blocks)
    rows = f'select * exclude ("{order}") from ({select})'
    pivoted = f'pivot ({rows}) on "{on}" in ({values}) using {using} group by {listed}'
    return f"select {listed}, {named} from ({pivoted}) order by {listed}"


class _Sheet:
    """One sheet being written from top to bottom; `row` is the next free row."""

    def __init__(self, workbook: Any, spec: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        self.spec, self.facts, self.row = spec, dict(facts), 0
        self.sheet = workbook.add_worksheet(spec["name"])
        self.merged = workbook.add_format({"align": "center", "bold": True})
        self.bold = workbook.add_format({"bold": True})
        self.date_format = workbook.add_format({"num_format": spec.get("date_format", "dd/mm/yyyy")})
        if spec.get("hidden"):
            self.sheet.hide()

    def fill(self, con: "duckdb.DuckDBPyConnection") -> None:
        """Title, header, rows and footers."""
        cursor = con.execute(_select(con, self.spec))
        names = [column[0] for column in cursor.description or []]
        kinds = [self._kind(name) for name in names]
        page = self.spec.get("page", {})
        self._lines(self.spec.get("title", []))
        self._header(names)
        n_rows, self.facts["page"] = 0, 1
        while rows := cursor.fetchmany(FETCH):
            for values in rows:
                if page and n_rows and n_rows % page["rows"] == 0:
                    self._lines(page.get("footer", []))
                    if page.get("header", True):
                        self._header(names)
                    self.facts["page"] += 1
                if n_rows + 1 == self.spec.get("hidden_row"):
                    self.sheet.set_row(self.row, None, None, {"hidden": True})
                for column, value in enumerate(values):
                    if value is not None:
                        self._cell(column, value, kinds[column])
                self.row += 1
                n_rows += 1
        self.facts["rows"] = n_rows
        self._lines(page.get("footer", []) if n_rows else [])
        self._lines(self.spec.get("footer", []))

    def _kind(self, name: str) -> str | None:
        """`dates`, `numbers` or `formulas` for a column whose text may be one, else None."""
        return next(
            (k for k in ("dates", "numbers", "formulas") if k in self.spec and re.fullmatch(self.spec[k], name)), None
        )

    def _cell(self, column: int, value: Any, kind: str | None) -> None:
        """One value as the cell its kind and text ask for."""
        if kind == "dates" and isinstance(value, str) and ISO_DATE.fullmatch(value):
            value = date.fromisoformat(value)
        if kind == "formulas" and isinstance(value, str) and NUMBER.fullmatch(value):
            self.sheet.write_formula(self.row, column, f"=ROUND({value},3)", None, float(value))
            return
        if kind in ("dates", "numbers") and isinstance(value, str) and NUMBER.fullmatch(value):
            value = float(value)
        if isinstance(value, date):
            self.sheet.write_datetime(self.row, column, value, self.date_format)
        elif isinstance(value, str):
            self.sheet.write_string(self.row, column, value)
        else:
            self.sheet.write_number(self.row, column, value)

    def _header(self, names: Sequence[str]) -> None:
        """One row of names, or two: equal upper halves side by side are merged."""
        if self.spec.get("header_rows", 1) == 2:
            column = 0
            for upper, group in groupby(name.split(JOIN)[0] for name in names):
                width = len(list(group))
                if width > 1:
                    self.sheet.merge_range(self.row, column, self.row, column + width - 1, upper, self.merged)
                else:
                    self.sheet.write_string(self.row, column, upper, self.bold)
                column += width
            self.row += 1
            names = [name.partition(JOIN)[2] for name in names]
        for column, name in enumerate(names):
            if name:
                self.sheet.write_string(self.row, column, name, self.bold)
        self.row += 1

    def _lines(self, lines: Sequence[Any]) -> None:
        """Lines that are not data, a text or a list of cells each."""
        for line in lines:
            for column, text in enumerate(line if isinstance(line, list) else [line]):
                if text:
                    self.sheet.write_string(self.row, column, str(text).format(**self.facts), self.bold)
            self.row += 1
