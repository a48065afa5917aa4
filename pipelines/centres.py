"""What each hospital sends and what its words mean: `centres/<id>/centre.yaml`, checked and frozen."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study, yaml_schema
from pipelines.mapping import BOX, GUARDED, TICKED, UNCHECKED, UNITS, Centre, Field, Layout, Part, Source, box_column
from pipelines.mapping_checks import rollup_mistakes, source_mistakes, verb_mistakes
from pipelines.yaml_schema import Place, Schema, nearest, refuse

if TYPE_CHECKING:
    import duckdb

SCHEMA = Path(__file__).parent / "schemas" / "centre.schema.json"
MOST_LISTED = 12  # codes of a list that a message names all


def load(folder: Path) -> Centre:
    """One centre from `<folder>/centre.yaml`.

    Raises `MappingError` with every problem: line, place, what was expected and the nearest right word.
    """
    path = folder / "centre.yaml"
    raw = yaml_schema.read(path)
    refuse(path, _schema().errors(raw))
    maps = raw.get("code_maps", {})
    tables = {t: tuple(_part(t, p, maps) for p in parts) for t, parts in raw["tables"].items() if _is_staged(t)}
    title, language = raw["title"], raw["language"]
    centre = Centre(
        name=raw["centre"], title=study.spoken(title), local_title=study.spoken(title, language), kind=raw["kind"],
        language=language, contact=study.spoken(raw.get("contact", ""), language),
        cadence_days=raw.get("cadence_days") or study.protocol()["cadence_days"]["value"],
        queries_delimiter=raw.get("queries_delimiter", ","), missing=tuple(raw.get("missing", ())),
        decimal=raw.get("decimal", "."), formats=tuple(raw.get("formats", ())),
        months=tuple(raw.get("months", ("en",))),
        sources={name: _source(s) for name, s in raw["sources"].items()}, tables=tables, folder=folder,
    )  # fmt: skip
    refuse(path, list(_mistakes(centre, raw)))
    return centre


def load_all(root: Path) -> dict[str, Centre]:
    """Every centre under a folder, by name; folders that begin with `_` are templates."""
    return {path.parent.name: load(path.parent) for path in sorted(root.glob("[!_]*/centre.yaml"))}


def create_table(con: "duckdb.DuckDBPyConnection", centres: Mapping[str, Centre], schema: str = "study") -> None:
    """Make `<schema>.centres`, one row per centre: centre, kind, English title, language, days between deliveries."""
    con.execute(
        f"create or replace table {schema}.centres"
        "(centre varchar, centre_kind varchar, title varchar, language varchar, cadence_days integer)"
    )
    for c in centres.values():
        row = ", ".join(study.sql_literal(v) for v in (c.name, c.kind, c.title, c.language, c.cadence_days))
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
        drop_rows=_dropped(_list(raw.get("drop_rows")), raw.get("guard", {})), fill_down=_list(raw.get("fill_down")),
        current_row=raw.get("current_row", {}), one_content=_list(raw.get("one_content")),
        transactions=raw.get("transactions", {}), dictionary=raw.get("dictionary", ""), rename=raw.get("rename", {}),
    )  # fmt: skip
    others = tuple(replace(source, files=_list(o["files"]), read=o["read"]) for o in raw.get("or", ()))
    # other files than those above have other twins than those above
    plain = {k: v for k, v in raw.items() if k != "layouts"}
    layouts = tuple(
        Layout(
            layout.get("from", ""), layout.get("until", ""),
            _source({k: v for k, v in plain.items() if k != "or" or not layout.keys() & {"files", "read"}} | layout),
        )
        for layout in raw.get("layouts", ())
    )  # fmt: skip
    return replace(source, alternatives=others, layouts=layouts)


def _dropped(rules: Sequence[Mapping[str, Any]], guard: Mapping[str, Sequence[str]]) -> tuple[Mapping[str, Any], ...]:
    """Rows dropped by a guard column are told by the numbers of its values, because the column itself never lands."""

    def told(column: str, test: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        if column not in guard or set(test) != {"in"} or not set(test["in"]) <= set(guard[column]):
            return column, test
        return GUARDED + column, {"in": [str(guard[column].index(value)) for value in test["in"]]}

    return tuple({**r, "where": dict(told(c, test) for c, test in r["where"].items())} for r in rules)


def _part(table: str, raw: Mapping[str, Any], maps: Mapping[str, Any]) -> Part:
    columns = study.staged_columns(table)
    fields: list[Field] = []
    boxes: dict[str, str | None] = {}
    for name, spec in raw["fields"].items():
        read = [spec.get(k) for k in ("from", "first_of", "product", "divide_by", "unit_from")]
        named = spec.get("map")
        if "from_checkbox" in spec:
            read = [box_column(spec["from_checkbox"], spec["box"]) if "box" in spec else TICKED]
            given = maps.get(named, {}) if isinstance(named, str) else named or {}
            boxes |= {} if "box" in spec else {box_column(spec["from_checkbox"], b): v for b, v in given.items()}
        fields.append(
            Field(
                name, spec.get("type") or (columns[name].type if name in columns else ""),
                tuple(c for value in read for c in _list(value)), spec,
                maps.get(named, {}) if isinstance(named, str) else named,
            )
        )  # fmt: skip
    unpivot, where = raw.get("unpivot", {}), raw.get("where", {})
    if boxes:
        # a row per ticked box: boxes become rows, and those that are not ticked or mean nothing none
        unpivot = {"columns": list(boxes), "name": BOX, "value": TICKED}
        where = {**where, TICKED: {"not_in": [*UNCHECKED]}, BOX: {"not_in": [b for b, v in boxes.items() if v is None]}}
    return Part(
        raw["source"], where, unpivot, _list(raw.get("lookup")), tuple(fields),
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
    yield from source_mistakes(centre)
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
            for text in rollup_mistakes(table, part):
                yield (*place, "rollup"), text
            if "local_id" not in (f.name for f in part.fields):
                yield (*place, "fields"), "'local_id' is missing"
            for f in part.fields:
                for text in _field_mistakes(centre, raw, table, f):
                    yield (*place, "fields", f.name), text
                for steps, text in verb_mistakes(centre, table, part, f):
                    yield (*place, "fields", f.name, *steps), text


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
        codes = study.codelist(column.codelist)
        listed = f" ({', '.join(codes)})" if len(codes) <= MOST_LISTED else ""
        for code in sorted(given - set(codes)):
            yield f"{code!r} is not a code of {column.codelist}{listed}{nearest(code, codes)}"
    if f.spec.keys() & {"constant", "from_checkbox"}:
        return
    if f.type == "date" and not (f.spec.get("formats") or centre.formats):
        yield "a date needs formats, here or for the whole centre"
    if f.type == "flag" and not ("yes" in f.spec and "no" in f.spec) and f.map is None:
        yield "a flag needs yes and no, the texts that mean them"
    if f.type == "quantity" and column.unit:
        units = UNITS[column.unit]
        if "unit_from" not in f.spec and f.spec.get("unit") not in units:
            yield f"a quantity in {column.unit} needs unit_from, or unit: {' or '.join(units)}"
