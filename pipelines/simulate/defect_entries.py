"""Which defects a centre's files can carry: the kinds, and where `centres/<id>/defects.yaml` says they can be planted.

`defects.yaml` beside this module declares what each kind does to a text; `centres/<id>/defects.yaml` says where this
hospital errs so (independent of `centre.yaml`, like `export.yaml`):

    format: "%Y-%m-%d"              # how dates are written in these files
    files:
      - file: DATA.csv              # a path of `export.yaml`; bulk files `of` it carry the same defects
        part: Lesions               # a sheet, an item group, plans or records; none for other formats
        patient: record_id::int     # SQL over the row: the patient's number in this centre
        where: "version = 10"       # rows that count; the others are left as they are
        record: [visit, lesion]     # rows that agree are one record and are spoiled together
        links: study_code           # only in the list of study codes: the column of the code
        lesion: les_label           # only in lists of lesions and of their targets: SQL of the lesion's label
        defects:                    # kind, column (or several, or a pattern), and where wanted
          - {kind: date_impossible, column: visit_date, when: "visit > 0", beside: p.restaging, format: "%d/%m/%Y"}

`when` and `beside` are SQL over the row, `p` (the patient's row of `world.patients`) and the macros of `export.yaml`.
`rows`: all rows that agree in these columns are spoiled. `set`: other columns that change with it, or those of a copied
row. `within`: a regular expression of three groups, of which the second is the value. `field`, `rule`: where they are
not those of the kind.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.errors import MappingError
from pipelines.simulate import defect_places
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb

KINDS = Path(__file__).with_name("defects.yaml")
MACROS = """
    create or replace temp macro dated(x, f) as try_strptime(x::varchar, f)::date;
    create or replace temp macro shown(d, f) as strftime(d, f);
    create or replace temp macro whole(x) as try_cast(x as integer);
    create or replace temp macro number(x) as try_cast(replace(x, ',', '.') as decimal(12, 3));
    create or replace temp macro plain(v) as rtrim(rtrim(v::decimal(15, 3)::varchar, '0'), '.');
    create schema if not exists spoil;
"""


@dataclass(frozen=True)
class Entry:
    """One kind of defect in one column of one file."""

    number: int
    kind: str
    column: str
    when: str
    beside: str
    date_format: str
    within: str | None
    rows: tuple[str, ...]
    sets: Mapping[str, str]
    field: str
    rule: str
    alone: bool
    blank: bool
    copy: bool
    at_first: bool

    @property
    def before(self) -> str:
        """SQL of the text as it is."""
        cell = f"{name_of(self.column)}::varchar"
        return f"nullif({f'regexp_extract({cell}, {lit(self.within)}, 2)' if self.within else cell}, '')"

    @property
    def value(self) -> str:
        """SQL of the text as the defect leaves it; NULL where the kind cannot be planted."""
        if self.blank:
            return "null::varchar"
        return f"defect_{self.kind}({self.before}, ({self.beside}), _n, {lit(self.date_format)})::varchar"

    @property
    def after(self) -> str:
        """SQL of the whole cell with the defect in it."""
        if not self.within:
            return self.value
        return (
            rf"regexp_replace({name_of(self.column)}, {lit(self.within)}, '\1' || coalesce({self.value}, '') || '\3')"
        )

    @property
    def possible(self) -> str:
        """SQL predicate: the row can take this defect."""
        if self.copy:
            return f"coalesce(({self.when}), false)"
        changed = "true" if self.blank else f"{self.value} <> {self.before}"
        return f"coalesce(({self.when}) and {self.before} is not null and {changed}, false)"


@dataclass(frozen=True)
class Slot:
    """One select of the export, kept as a table of `spoil` in file order (`_n`)."""

    number: int
    file: Mapping[str, Any]
    part: str
    holder: dict[str, Any]
    key: str
    spec: Mapping[str, Any]
    entries: tuple[Entry, ...]

    @property
    def table(self) -> str:
        return f"spoil.t{self.number}"

    @property
    def patients(self) -> str:
        where = self.spec.get("where", "true")
        return f"{self.table} t join spoil.who w on w._no = ({self.spec['patient']}) and ({where})"

    @property
    def first(self) -> str:
        """SQL predicate: the first row of its record."""
        record = self.spec.get("record")
        return f"_n in (select min(_n) from {self.table} group by {names_of(record)})" if record else "true"


@cache
def kinds() -> dict[str, dict[str, Any]]:
    """The kinds of defect by name."""
    return dict(study.read_yaml(KINDS))


def macros(con: "duckdb.DuckDBPyConnection") -> None:
    """Make `defect_<kind>(x, y, n, f)` of every kind that changes a text."""
    con.execute(MACROS)
    for name, kind in kinds().items():
        if "change" in kind:
            con.execute(f"create or replace temp macro defect_{name}(x, y, n, f) as ({kind['change']})")


def slots_of(
    con: "duckdb.DuckDBPyConnection", spec: Mapping[str, Any], files: list[dict[str, Any]], whole: Sequence[Any]
) -> Iterator[Slot]:
    """Every select that the centre's `defects.yaml` names, as a table in file order."""
    number = 0
    for file in files:
        of = file.get("of", {"file": file["path"], "part": ""})
        source = next((f for f in whole if f["path"] == of["file"]), file)
        for each in spec["files"]:
            part = each.get("part", "")
            if each["file"] != of["file"] or ("of" in file and part != of["part"]):
                continue
            holder, key = defect_places.holder(source, part)
            select = defect_places.select(con, source, holder, key, part)
            entries = tuple(_entries(con, select, each, spec, 1000 * number))
            _keep(con, f"spoil.t{number}", select, holder, entries)
            holder[key] = f"select * exclude (_n) from spoil.t{number}"
            yield Slot(number, file, part, holder, key, each, entries)
            number += 1


def _keep(
    con: "duckdb.DuckDBPyConnection", table: str, select: str, holder: dict[str, Any], entries: Sequence[Entry]
) -> None:
    """The select as a table in its order; what may be spoiled is text there, and still a number in a sheet."""
    spoiled = {e.column for e in entries if e.column}
    described = {c[0]: c[1] for c in con.execute(f"describe {select}").fetchall() if c[0] in spoiled}
    text = ", ".join(f"{name_of(c)}::varchar as {name_of(c)}" for c in described)
    cells = f"* replace ({text})" if text else "*"
    con.execute(f"create or replace table {table} as select row_number() over () as _n, {cells} from ({select})")
    numeric = [re.escape(c) for c, kind in described.items() if kind not in ("VARCHAR", "DATE", "JSON")]
    if numeric and "name" in holder:
        holder["numbers"] = "|".join([*([holder["numbers"]] if "numbers" in holder else []), *numeric])


def _entries(
    con: "duckdb.DuckDBPyConnection", select: str, each: Mapping[str, Any], spec: Mapping[str, Any], first: int
) -> Iterator[Entry]:
    """The defects of one select; a pattern stands for every column that it fits."""
    known = kinds()
    there = [c[0] for c in con.execute(f"describe {select}").fetchall()]
    number = first
    for raw in each["defects"]:
        if raw["kind"] not in known:
            raise MappingError(f"{spec['centre']}/defects.yaml: {raw['kind']} is no kind of defect. Correct the entry.")
        kind, column = known[raw["kind"]], raw.get("column", "")
        columns: list[tuple[str, dict[str, str]]] = [(c, {}) for c in ([column] if isinstance(column, str) else column)]
        if "pattern" in raw:
            found = [(c, re.fullmatch(raw["pattern"], c)) for c in there]
            columns = [(c, match.groupdict()) for c, match in found if match]
        for name, groups in columns:
            when, beside = (_filled(str(raw.get(k, d)), groups) for k, d in (("when", "true"), ("beside", "null")))
            yield Entry(
                number, raw["kind"], name, when, beside, raw.get("format", spec["format"]), raw.get("within"),
                tuple(raw.get("rows", each.get("record", ()))), raw.get("set", {}),
                raw.get("field", kind.get("field", name)), raw.get("rule", kind["rule"]),
                raw.get("alone", kind.get("alone", True)), kind.get("blank", False), kind.get("copy", False),
                kind.get("at_first", False),
            )  # fmt: skip
            number += 1


def _filled(sql: str, groups: Mapping[str, str]) -> str:
    for name, text in groups.items():
        sql = sql.replace("{" + name + "}", text)
    return sql


def name_of(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def names_of(columns: Sequence[str]) -> str:
    return ", ".join(map(name_of, columns))
