"""FHIR R4 as NDJSON: one row per resource, its columns taken by declared paths, read in DuckDB."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import MappingError, Problem, UnreadableFile
from pipelines.study import sql_literal

if TYPE_CHECKING:
    import pyarrow as pa

AGAIN = "Export it again as one FHIR resource a line."
STEP = re.compile(r"(\w+)(?:\[(\d+)\]|\('([^']+)'\))?(?:\.|$)")


def read_file(path: Path, spec: Mapping[str, Any]) -> "pa.Table":
    """One row per resource of `spec.resource`, and of `spec.profile` by the end of its address; of each, if stated.

    `spec.columns` maps each raw column to a path of steps with dots between them: `status`, `identifier[0].value`;
    `extension('total-dose')`, `coding('sct')`: the first entry whose url or system ends so; `reference('Patient')`: the
    id of a reference to that resource. `spec.each` is a path to a list; then there is a row per entry, and a path that
    begins with a dot starts from the entry. `source_row` is the line. Raises `UnreadableFile` with the lines that are
    no JSON object, `MappingError` for a path that is none of these. Source: HL7 FHIR R4, CodeX-RT profiles.
    """
    import duckdb
    import pyarrow as pa

    where = f"line ->> '$.resourceType' = {sql_literal(spec['resource'])}"
    if "profile" in spec:
        profiles = "coalesce(try_cast(line -> '$.meta.profile' as varchar[]), [])"
        where += f" and len(list_filter({profiles}, lambda p: ends_with(p, {sql_literal(spec['profile'])}))) > 0"
    each = f", unnest({_every(spec['each'])}) as entry" if "each" in spec else ""
    columns = "".join(f", nullif({_text(p)}, '') as c{i}" for i, p in enumerate(spec["columns"].values()))
    lines = pa.table({"line": _lines(path)})
    with duckdb.connect() as con:
        con.execute("set enable_progress_bar = false")
        con.register("lines", lines)
        con.execute("""
            create temp table numbered as
            select row_number() over () as number, trim(line) as line from lines;
            delete from numbered where line = '';
        """)
        _refuse_broken(con)
        rows = con.execute(f"""
            with resources as (select number, line{each} from (select number, line::json as line from numbered)
                where {where})
            select number::varchar as source_row{columns} from resources order by number
        """).to_arrow_table()
    return rows.rename_columns(["source_row", *spec["columns"]])


def _lines(path: Path) -> Sequence[str]:
    raw = path.read_bytes()
    try:
        # by hand: splitlines would also break at separators that JSON texts may hold
        return raw.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UnreadableFile([Problem("", f"line {line}", "text in UTF-8", AGAIN)]) from None


def _refuse_broken(con: Any) -> None:
    """Raise `UnreadableFile` with every line that is no JSON object."""
    broken = con.execute("""
        select number from numbered where case when json_valid(line) then json_type(line) <> 'OBJECT' else true end
        order by number
    """).fetchall()
    if broken:
        raise UnreadableFile([Problem("", f"line {number}", "one JSON object", AGAIN) for (number,) in broken])


def _steps(path: str) -> list[tuple[str, str, str]]:
    """Name, index and ending of each step of a path."""
    found = list(STEP.finditer(path))
    if "".join(m.group() for m in found) != path or path.endswith(".") or not found:
        raise MappingError(f"read.columns: {path!r} is no path; write steps such as identifier[0].value.")
    return [(m[1], m[2] or "", m[3] or "") for m in found]


def _text(path: str) -> str:
    """The SQL of a path's text."""
    *before, (name, index, ending) = _steps(path.removeprefix("."))
    value = _reach("entry" if path.startswith(".") else "line", before)
    if name == "reference" and ending:
        return f"regexp_extract({value} ->> '$.reference', {sql_literal(f'(?:^|/){ending}/([^/]+)')}, 1)"
    return f"({_reach(value, [(name, index, ending)])} ->> '$')"


def _every(path: str) -> str:
    """The SQL of the list that a path leads to."""
    *before, (name, _, ending) = _steps(path)
    return _matching(_reach("line", before), name, ending)


def _reach(value: str, steps: Sequence[tuple[str, str, str]]) -> str:
    for name, index, ending in steps:
        value = f"{_matching(value, name, ending)}[1]" if ending else f"({value} -> {_member(name, index)})"
    return value


def _member(name: str, index: str) -> str:
    return sql_literal(f'$."{name}"' + (f"[{index}]" if index else ""))


def _matching(value: str, name: str, ending: str) -> str:
    """The SQL of the entries of a list, those whose url or system ends as given."""
    entries = f"coalesce(try_cast({value} -> {_member(name, '')} as json[]), [])"
    if not ending:
        return entries
    address = "coalesce(e ->> '$.url', e ->> '$.system', '')"
    return f"list_filter({entries}, lambda e: ends_with({address}, {sql_literal(ending)}))"
