"""What each hospital sends and what its words mean: `centres/<id>/centre.yaml`, checked and frozen."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study, yaml_schema
from pipelines.yaml_schema import Place, Schema, nearest, refuse

if TYPE_CHECKING:
    import duckdb

SCHEMA = Path(__file__).parent / "schemas" / "centre.schema.json"
# what one of the centre's units is in ours; exact factors as text
UNITS = {"mm": {"mm": "1", "cm": "10"}, "Gy": {"Gy": "1", "cGy": "0.01"}}
DICTIONARY = ("Variable / Field Name", "Choices, Calculations, OR Slider Labels")  # REDCap's own column names
Where = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Source:
    """Files of one layout, how they are read, and which of their rows are records."""

    files: tuple[str, ...]
    read: Mapping[str, Any]
    required: bool = True
    key: tuple[str, ...] = ()
    guard: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    alternatives: tuple["Source", ...] = ()
    stop_at: Where = field(default_factory=dict)
    drop_rows: tuple[Mapping[str, Any], ...] = ()
    fill_down: tuple[str, ...] = ()
    current_row: Mapping[str, Any] = field(default_factory=dict)

    @property
    def named(self) -> set[str]:
        """Columns that tell which rows are records."""
        conditions = [self.stop_at, *(d["where"] for d in self.drop_rows)]
        versions = [*self.current_row.get("by", ()), *self.current_row.get("take", {})]
        return {*(c for where in conditions for c in where), *self.fill_down, *versions, *self.key}


@dataclass(frozen=True)
class Field:
    """How one staged column is made; a name that begins with `_` is a helper of the rollup and is not staged."""

    name: str
    type: str
    columns: tuple[str, ...]
    spec: Mapping[str, Any]
    map: Mapping[str, str | None] | None


@dataclass(frozen=True)
class Part:
    """One source's share of a staged table."""

    source: str
    where: Where
    unpivot: Mapping[str, Any]
    lookups: tuple[Mapping[str, Any], ...]
    fields: tuple[Field, ...]
    rollups: tuple[Mapping[str, Any], ...]

    @property
    def made(self) -> set[str]:
        """Columns that the part makes itself: by unpivoting (blocks: any group's name) and by looking up."""
        groups = re.compile(self.unpivot.get("blocks", "")).groupindex
        return {*groups, *(self.unpivot[k] for k in ("name", "value") if k in self.unpivot), *self.taken}

    @property
    def taken(self) -> dict[str, tuple[int, str]]:
        """New column -> number of the lookup and column there."""
        return {new: (i, old) for i, look in enumerate(self.lookups) for new, old in taken(look).items()}


@dataclass(frozen=True)
class Columns:
    """Raw columns that a mapping names, by name or by the pattern of an unpivot; used with `in`."""

    names: frozenset[str]
    patterns: tuple[re.Pattern[str], ...] = ()

    def __contains__(self, column: object) -> bool:
        return column in self.names or any(p.fullmatch(str(column)) for p in self.patterns)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.names))


@dataclass(frozen=True)
class Centre:
    """One hospital unit: who it is, what it sends, and how that becomes staged tables."""

    name: str
    title: str
    kind: str
    language: str
    contact: str
    cadence_days: int | None
    queries_delimiter: str
    missing: tuple[str, ...]
    decimal: str
    formats: tuple[str, ...]
    sources: Mapping[str, Source]
    tables: Mapping[str, tuple[Part, ...]]
    folder: Path

    def columns(self, source: str) -> Columns:
        """The raw columns of a source that the mapping names: those that are landed."""
        names, patterns = set(self.sources[source].named), []
        for part in (p for parts in self.tables.values() for p in parts):
            if part.source == source:
                named = {c for f in part.fields for c in f.columns} | {c for look in part.lookups for c in look["on"]}
                names |= (named | set(part.where)) - part.made | set(part.unpivot.get("columns", ()))
                patterns += [re.compile(part.unpivot["blocks"])] if "blocks" in part.unpivot else []
            for look in part.lookups:
                if look["source"] == source:
                    names |= {*look["on"].values(), *taken(look).values(), *look.get("where", ())}
            names |= {c for f in part.fields if f.spec.get("choices") == source for c in DICTIONARY}
        return Columns(frozenset(names), tuple(patterns))


def taken(look: Mapping[str, Any]) -> dict[str, str]:
    """New column -> column of the other source, of one lookup."""
    take = look["take"]
    return dict(take) if isinstance(take, Mapping) else {c: c for c in take}


def load(folder: Path) -> Centre:
    """One centre from `<folder>/centre.yaml`.

    Raises `MappingError` with every problem: line, place, what was expected and the nearest right word.
    """
    path = folder / "centre.yaml"
    raw = yaml_schema.read(path)
    refuse(path, _schema().errors(raw))
    maps = raw.get("code_maps", {})
    tables = {t: tuple(_part(t, p, maps) for p in parts) for t, parts in raw["tables"].items() if _is_staged(t)}
    centre = Centre(
        name=raw["centre"], title=raw["title"], kind=raw["kind"], language=raw["language"],
        contact=raw.get("contact", ""), cadence_days=raw.get("cadence_days"),
        queries_delimiter=raw.get("queries_delimiter", ","), missing=tuple(raw.get("missing", ())),
        decimal=raw.get("decimal", "."), formats=tuple(raw.get("formats", ())),
        sources={name: _source(s) for name, s in raw["sources"].items()}, tables=tables, folder=folder,
    )  # fmt: skip
    refuse(path, list(_mistakes(centre, raw)))
    return centre


def load_all(root: Path) -> dict[str, Centre]:
    """Every centre under a folder, by name; folders that begin with `_` are templates."""
    return {path.parent.name: load(path.parent) for path in sorted(root.glob("[!_]*/centre.yaml"))}


def create_table(con: "duckdb.DuckDBPyConnection", centres: Mapping[str, Centre], schema: str = "study") -> None:
    """Make `<schema>.centres`, one row per centre: centre, centre_kind, title, language."""
    con.execute(
        f"create or replace table {schema}.centres"
        "(centre varchar, centre_kind varchar, title varchar, language varchar)"
    )
    for c in centres.values():
        row = ", ".join(study.sql_literal(v) for v in (c.name, c.kind, c.title, c.language))
        con.execute(f"insert into {schema}.centres values ({row})")


@cache
def _schema() -> Schema:
    return Schema(json.loads(SCHEMA.read_text(encoding="utf-8")))


def _is_staged(table: str) -> bool:
    return table in study.staged_tables()


def _list(value: Any) -> tuple[Any, ...]:
    return () if value is None else tuple(value) if isinstance(value, list) else (value,)


def _source(raw: Mapping[str, Any]) -> Source:
    source = Source(
        files=_list(raw["files"]), read=raw["read"], required=raw.get("required", True), key=_list(raw.get("key")),
        guard=raw.get("guard", {}), ignore=_list(raw.get("ignore")), stop_at=raw.get("stop_at", {}),
        drop_rows=_list(raw.get("drop_rows")), fill_down=_list(raw.get("fill_down")),
        current_row=raw.get("current_row", {}),
    )  # fmt: skip
    others = tuple(replace(source, files=_list(o["files"]), read=o["read"]) for o in raw.get("or", ()))
    return replace(source, alternatives=others)


def _part(table: str, raw: Mapping[str, Any], maps: Mapping[str, Any]) -> Part:
    columns = study.staged_columns(table)
    fields = []
    for name, spec in raw["fields"].items():
        read = [spec.get(k) for k in ("from", "first_of", "product", "divide_by", "unit_from")]
        named = spec.get("map")
        fields.append(
            Field(
                name, spec.get("type") or (columns[name].type if name in columns else ""),
                tuple(c for value in read for c in _list(value)), spec,
                maps.get(named, {}) if isinstance(named, str) else named,
            )
        )  # fmt: skip
    return Part(
        raw["source"], raw.get("where", {}), raw.get("unpivot", {}), _list(raw.get("lookup")), tuple(fields),
        _list(raw.get("rollup")),
    )  # fmt: skip


def _mistakes(centre: Centre, raw: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """What a schema cannot say: names that must exist, columns that must be filled, codes that must be ours."""
    if centre.name != centre.folder.name and not centre.folder.name.startswith("_"):
        yield ("centre",), f"{centre.name!r} must be the folder's name, {centre.folder.name!r}"
    for name in raw["tables"]:
        if not _is_staged(name):
            known = study.staged_tables()
            yield ("tables", name), f"{name!r} is not a staged table{nearest(name, known)}"
    if "links" not in centre.tables:
        yield ("tables",), "'links' is missing: without study codes no row can be linked"
    for table, parts in centre.tables.items():
        for i, part in enumerate(parts):
            place = ("tables", table, i)
            named = [(("source",), part.source)] + [(("lookup",), look["source"]) for look in part.lookups]
            named += [(("fields", f.name, "choices"), f.spec["choices"]) for f in part.fields if "choices" in f.spec]
            for steps, source in named:
                if source not in centre.sources:
                    yield (*place, *steps), f"{source!r} is not one of the sources{nearest(source, centre.sources)}"
            if "local_id" not in (f.name for f in part.fields):
                yield (*place, "fields"), "'local_id' is missing"
            for f in part.fields:
                for text in _field_mistakes(centre, raw, table, f):
                    yield (*place, "fields", f.name), text


def _field_mistakes(centre: Centre, raw: Mapping[str, Any], table: str, f: Field) -> Iterator[str]:
    known = study.staged_columns(table)
    if f.name.startswith("_"):
        if not f.type:
            yield "a helper field must say its type"
        return
    if f.name not in known or f.name in study.PROVENANCE or (f.name == "usubjid" and table != "links"):
        yield f"{f.name!r} is not a column that a centre fills in {table!r}{nearest(f.name, known)}"
        return
    column, named = known[f.name], f.spec.get("map")
    if isinstance(named, str) and named not in raw.get("code_maps", {}):
        yield f"the map {named!r} is not among code_maps{nearest(named, raw.get('code_maps', {}))}"
    if column.codelist:
        given = {v for v in (f.map or {}).values() if v is not None}
        given |= {str(f.spec["constant"])} if "constant" in f.spec else set()
        for code in sorted(given - set(study.codelist(column.codelist))):
            yield f"{code!r} is not a code of {column.codelist}{nearest(code, study.codelist(column.codelist))}"
    if "constant" in f.spec:
        return
    if f.type == "date" and not (f.spec.get("formats") or centre.formats):
        yield "a date needs formats, here or for the whole centre"
    if f.type == "flag" and not ("yes" in f.spec and "no" in f.spec) and f.map is None:
        yield "a flag needs yes and no, the texts that mean them"
    if f.type == "quantity" and column.unit:
        units = UNITS[column.unit]
        if "unit_from" not in f.spec and f.spec.get("unit") not in units:
            yield f"a quantity in {column.unit} needs unit_from, or unit: {' or '.join(units)}"
