"""Defects planted into the files of one centre, each recorded with its place and the rule that must find it.

`defects.yaml` beside this module declares what each kind does to a text; `centres/<id>/defects.yaml` says where this
hospital errs so (independent of `centre.yaml`, like `export.yaml`):

    format: "%Y-%m-%d"              # how dates are written in these files
    files:
      - file: DATA.csv              # a path of `export.yaml`; bulk files `of` it carry the same defects
        part: Lesions               # a sheet, an item group, plans or records; none for other formats
        patient: record_id::int     # SQL over the row: the patient's number in this centre
        record: [visit, lesion]     # rows that agree are one record and are spoiled together
        links: study_code           # only in the list of study codes: the column of the code
        defects:                    # kind, column (or several, or a pattern), and where wanted
          - {kind: date_impossible, column: visit_date, when: "visit > 0", beside: p.restaging, format: "%d/%m/%Y"}

`when` and `beside` are SQL over the row, `p` (the patient's row of `world.patients`) and the macros of `export.yaml`.
`rows`: all rows that agree in these columns are spoiled. `set`: other columns of a copied row. `within`: a regular
expression of three groups, of which the second is the value. `field`, `rule`: where they are not those of the kind.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    create or replace temp macro day(x, f) as try_strptime(x, f)::date;
    create or replace temp macro shown(d, f) as strftime(d, f);
    create schema if not exists spoil;
"""
# share of patients that carry one defect each which changes how the others of the patient would be judged, per share of
# records to be spoiled, and its bounds
ALONE_PER_RATE, MOST_ALONE, MOST_ALONE_OF_ALL = 20, 0.35, 0.5


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

    @property
    def before(self) -> str:
        """SQL of the text as it is."""
        cell = f"{_name(self.column)}::varchar"
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
        return rf"regexp_replace({_name(self.column)}, {lit(self.within)}, '\1' || coalesce({self.value}, '') || '\3')"

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
        return f"{self.table} t join spoil.who w on w._no = ({self.spec['patient']})"

    @property
    def first(self) -> str:
        """SQL predicate: the first row of its record."""
        record = self.spec.get("record")
        return f"_n in (select min(_n) from {self.table} group by {_names(record)})" if record else "true"


def kinds() -> dict[str, dict[str, Any]]:
    """The kinds of defect by name."""
    return dict(study.read_yaml(KINDS))


def macros(con: "duckdb.DuckDBPyConnection") -> None:
    """Make `defect_<kind>(x, y, n, f)` of every kind that changes a text."""
    con.execute(MACROS)
    for name, kind in kinds().items():
        if "change" in kind:
            con.execute(f"create or replace temp macro defect_{name}(x, y, n, f) as ({kind['change']})")


def plant(
    con: "duckdb.DuckDBPyConnection", folder: Path, files: list[dict[str, Any]], whole: Sequence[Any], rate: float
) -> None:
    """Spoil `rate` of the records of one centre's `files`, and add where to `world.defects`.

    `whole` are the files that a bulk file's `of` names. The selects in both are replaced by tables of schema `spoil`.
    A patient carries either one defect that bears on others (`alone`), or any number of those that do not, at most one a
    record. Equal seeds give equal defects. Raises `MappingError` for a wrong `defects.yaml`.
    """
    path = folder / "defects.yaml"
    if not path.is_file():
        return
    import duckdb

    macros(con)
    _know_patients(con, files[0]["centre"], rate)
    slots = list(_slots(con, study.read_yaml(path), files, whole))
    try:
        _choose(con, slots, rate)
        for slot in slots:
            _spoil(con, slot)
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
        raise MappingError(f"{folder.name}/defects.yaml: {str(error).splitlines()[0]}") from error
    for slot in slots:
        _record(con, slot, [s for s in slots if s.file["path"] == slot.file["path"]])


def _know_patients(con: "duckdb.DuckDBPyConnection", centre: str, rate: float) -> None:
    """Make `spoil.who`: a row per patient of this centre, and whether its one defect is planted here."""
    share = min(MOST_ALONE, ALONE_PER_RATE * rate)
    con.execute(f"""
        create or replace table spoil.who as
        select l.subject_no as _no, l.usubjid as _who, world.draw(l.usubjid, 'alone') < {share} as _alone,
            (world.draw(l.usubjid, 'which unit') < 0.5) = (p.onc_centre = {lit(centre)}) as _here, p
        from truth.links l join world.patients p using (usubjid)
    """)
    columns = "slot integer, entry integer, n bigint, who varchar"
    con.execute(f"create or replace table spoil.plan ({columns}); create or replace table spoil.could ({columns})")
    con.execute("create or replace table spoil.light (slot integer, n bigint, who varchar, can integer[], u double)")


def _slots(
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
    text = ", ".join(f"{_name(c)}::varchar as {_name(c)}" for c in described)
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
        columns = [(c, {}) for c in ([column] if isinstance(column, str) else column)]
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
            )  # fmt: skip
            number += 1


def _filled(sql: str, groups: Mapping[str, str]) -> str:
    for name, text in groups.items():
        sql = sql.replace("{" + name + "}", text)
    return sql


def _choose(con: "duckdb.DuckDBPyConnection", slots: Sequence[Slot], rate: float) -> None:
    """Fill `spoil.plan`: which entry at which record."""
    records = 0
    for s in slots:
        records += con.execute(f"select count(*) from {s.patients} where {s.first}").fetchall()[0][0]
        for e in (e for e in s.entries if e.alone):
            con.execute(f"""
                insert into spoil.could
                select {s.number}, {e.number}, min_by(_n, hash(_n, {e.number}, getvariable('seed'))), _who
                from {s.patients} where _alone and _here and {e.possible} group by _who
            """)
        light = [f"case when {e.possible} then {e.number} end" for e in s.entries if not e.alone]
        if light:
            con.execute(f"""
                insert into spoil.light
                select {s.number}, _n, _who, list_filter([{", ".join(light)}], lambda z: z is not null) as can,
                    world.draw(_who, {lit(f"{s.file['path']} {s.part} ")} || _n) as u
                from {s.patients} where not _alone and {s.first} and len(can) > 0 and u < {min(1.0, 20 * rate)}
            """)
    wanted = round(rate * records)
    named = ", ".join(f"({e.number}, {lit(e.kind)})" for s in slots for e in s.entries)
    con.execute(f"""
        insert into spoil.plan
        with named(entry, kind) as (values {named})
        select slot, entry, n, who from spoil.could join named using (entry)
        -- every kind has the same chance, however many columns it can be planted in
        qualify row_number() over (partition by who order by world.draw(who, kind), world.draw(who, kind || entry)) = 1
        order by world.draw(who, 'order'), who limit {round(MOST_ALONE_OF_ALL * wanted)}
    """)
    left = wanted - con.execute("select count(*) from spoil.plan").fetchall()[0][0]
    con.execute(f"""
        insert into spoil.plan
        select slot, can[1 + (hash(who, n, slot, getvariable('seed')) % len(can))::integer], n, who
        from spoil.light order by u, slot, n limit {max(0, left)}
    """)


def _spoil(con: "duckdb.DuckDBPyConnection", slot: Slot) -> None:
    """Change the cells in place, so that the rows keep their order; copies go to the end."""
    planned = f"select entry, n from spoil.plan where slot = {slot.number}"
    used = {number for (number,) in con.execute(f"select distinct entry from ({planned})").fetchall()}
    for e in (e for e in slot.entries if e.number in used):
        mine = f"select n from ({planned}) where entry = {e.number}"
        if e.copy:
            sets = "".join(f", ({sql}) as {_name(column)}" for column, sql in e.sets.items())
            con.execute(f"""
                create or replace temp table copied as
                select n, (select count(*) from {slot.table}) + row_number() over (order by n) as copy_n from ({mine});
                insert into {slot.table}
                select t.* replace (c.copy_n as _n{sets}) from {slot.table} t join copied c on c.n = t._n order by c.copy_n;
                update spoil.plan set n = c.copy_n from copied c where slot = {slot.number} and plan.n = c.n;
            """)
            continue
        if e.rows:
            same = " and ".join(f"g.{_name(c)} is not distinct from o.{_name(c)}" for c in e.rows)
            pairs = f"from {slot.table} o join {slot.table} g on {same} where o._n in ({mine})"
            con.execute(f"""
                update spoil.plan set n = a.first_n from (select o._n as n, min(g._n) as first_n {pairs} group by o._n) a
                where slot = {slot.number} and entry = {e.number} and plan.n = a.n
            """)
            mine = f"select g._n {pairs}"
        con.execute(f"""
            create or replace temp table changed as
            select _n, {e.after} as after from {slot.patients} where _n in ({mine});
            update {slot.table} set {_name(e.column)} = c.after from changed c where {slot.table}._n = c._n;
        """)


def _record(con: "duckdb.DuckDBPyConnection", slot: Slot, same_file: Sequence[Slot]) -> None:
    """Add what was planted to `world.defects`, and where the links stand to `world.link_places`."""
    source_file, source_row, reads = defect_places.place(slot, same_file)
    about = ", ".join(f"({e.number}, {lit(e.field)}, {lit(e.kind)}, {lit(e.rule)})" for e in slot.entries)
    head = f"{lit(slot.file['centre'])}, {lit(str(slot.file['extract_date']) + '_export')}, {source_file}, {source_row}"
    con.execute(f"""
        insert into world.defects
        select {head}, a.field, a.kind, a.rule, d.who from spoil.plan d
        join (values {about}) a(entry, field, kind, rule) on a.entry = d.entry
        join {reads} t on t._n = d.n where d.slot = {slot.number}
    """)
    if "links" in slot.spec:
        con.execute(
            f"insert into world.link_places select {head}, _who from {reads} t join spoil.who w on w._no = ({slot.spec['patient']}) where _alone"
        )


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _names(columns: Sequence[str]) -> str:
    return ", ".join(map(_name, columns))
