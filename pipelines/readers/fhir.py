"""FHIR R4 as NDJSON: one row per resource, its columns taken by declared paths, read in DuckDB batch by batch."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import MappingError, Problem, UnreadableFile
from pipelines.readers.read import MOST_PROBLEMS, NOT_READ, with_notes
from pipelines.study import sql_literal

if TYPE_CHECKING:
    import pyarrow as pa

AGAIN = "Export it again as one FHIR resource a line."
BATCH = 20_000
MOST_BYTES = 16 << 20  # of one line, and about so many of a batch
MOST_DEPTH = 200
BLANK = " \t\r\n"
# what a source of profiles does not read: by this, what was expected
UNREAD = {"Bundle": "one resource a line, outside of a Bundle", "meta.profile": "a resource that names its profile"}
# a text as a whole, so that brackets in it do not count
BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[{}\[\]]', re.DOTALL)
PROFILES = "coalesce(try_cast(line -> '$.meta.profile' as varchar[]), [])"
STEP = re.compile(r"(\w+)(?:\[(\d+|\w+=[^\]]+)\]|\('([^']+)'\))?(?:\.|$)")


def batches(path: Path, spec: Mapping[str, Any]) -> "Iterator[pa.Table]":
    """One row per resource of `spec.resource`, and of `spec.profile` by the end of its address; of each, if stated.

    A profile's version (`|1.0.0`) does not matter where `spec.profile` has none. What is lost without another word is
    noted, with its number and first line: Bundles, and where a profile is asked for, resources that name none.
    `spec.columns` maps each raw column to a path of steps with dots between them: `status`, `identifier[0].value`;
    `identifier[use=usual]`: the entries that say so of themselves; `extension('total-dose')`, `coding('sct')`: those
    whose url or system ends so. Their texts are all given where they differ (`3000 | 2500`, which no type reads).
    `reference('Patient')`: the id of a reference to that resource.
    `spec.each` is a path to a list; then there is a row per entry, and a path that begins with a dot starts from the
    entry. A quantity's `unit` is given with its `code` where they differ. `source_row` is the line. Raises
    `UnreadableFile` with the lines that are no JSON object, `MappingError` for a path that is none of these.
    Source: HL7 FHIR R4, CodeX-RT profiles.
    """
    import duckdb

    query = _query(spec)
    problems: list[Problem] = []
    unread: dict[str, tuple[int, int]] = {}
    with closing(duckdb.connect()) as con:
        con.execute("set enable_progress_bar = false; set threads = 1")
        for lines in _batched(path, problems):
            con.register("lines", lines)
            problems += _broken(con)
            # after a broken line the rest is only looked through for others
            if not problems:
                yield (table := con.execute(query).to_arrow_table().rename_columns(["source_row", *spec["columns"]]))
                for what, n, first in con.execute(_unread(spec)).fetchall():
                    before = unread.get(what, (0, first))
                    unread[what] = (before[0] + n, before[1])
            con.unregister("lines")
            if len(problems) >= MOST_PROBLEMS:
                break
    if problems:
        raise UnreadableFile(sorted(problems, key=lambda p: int(p.place.removeprefix("line "))))
    if unread:
        notes = [(NOT_READ, str(first), what, str(n), UNREAD[what]) for what, (n, first) in unread.items()]
        yield with_notes(table.slice(0, 0), notes)


def _query(spec: Mapping[str, Any]) -> str:
    """The rows of a table `lines` (number, line), all of which are JSON objects."""
    where = f"line ->> '$.resourceType' = {sql_literal(spec['resource'])}"
    if "profile" in spec:
        name = "p" if "|" in spec["profile"] else "split_part(p, '|', 1)"
        where += f" and len(list_filter({PROFILES}, lambda p: ends_with({name}, {sql_literal(spec['profile'])}))) > 0"
    each = f", unnest({_every(spec['each'])}) as entry" if "each" in spec else ""
    columns = "".join(f", nullif({_text(p)}, '') as c{i}" for i, p in enumerate(spec["columns"].values()))
    return f"""
        with resources as (select number, line{each} from (select number, line::json as line from lines) where {where})
        select number::varchar as source_row{columns} from resources order by number
    """


def _unread(spec: Mapping[str, Any]) -> str:
    """What no source reads of the table `lines`: which of `UNREAD`, how many and the first line."""
    lost = [("Bundle", "contains(line, 'Bundle')", "type = 'Bundle'")]
    if "profile" in spec:
        # most lines name one, and are not parsed again for it
        lost += [("meta.profile", "true", f"type = {sql_literal(spec['resource'])} and len({PROFILES}) = 0")]
    told = " union all ".join(
        f"select {sql_literal(what)} as what, number from typed where {maybe} and {is_lost}"
        for what, maybe, is_lost in lost
    )
    return f"""
        with typed as (
            select number, line::json as line, line ->> '$.resourceType' as type from lines
            where not contains(line, '"profile"') or contains(line, 'Bundle')
        )
        select what, count(*), min(number) from ({told}) group by what order by what desc
    """


def _batched(path: Path, problems: list[Problem]) -> "Iterator[pa.Table]":
    """Lines with something in them and their numbers, a few megabytes at a time, at least once; others are problems."""
    import pyarrow as pa

    numbers: list[int] = []
    lines: list[str] = []
    n_chars = n_batches = 0
    for number, raw in _lines(path):
        expected = f"at most {MOST_BYTES >> 20} MB in a line" if len(raw) > MOST_BYTES else _too_deep(raw)
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip(BLANK) if not expected else ""
        except UnicodeDecodeError:
            line, expected = "", "text in UTF-8"
        if expected:
            problems.append(Problem("", f"line {number}", expected, AGAIN))
        if not line:
            continue
        numbers.append(number)
        lines.append(line)
        n_chars += len(line)
        if len(lines) >= BATCH or n_chars >= MOST_BYTES:
            yield pa.table({"number": pa.array(numbers, pa.int64()), "line": pa.array(lines, pa.string())})
            numbers, lines, n_chars, n_batches = [], [], 0, n_batches + 1
    if lines or not n_batches:
        yield pa.table({"number": pa.array(numbers, pa.int64()), "line": pa.array(lines, pa.string())})


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of every line; of one that is too long as much as shows it."""
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(MOST_BYTES + 1):
            number += 1
            yield number, raw
            while len(raw) > MOST_BYTES and not raw.endswith(b"\n"):
                raw = file.readline(MOST_BYTES + 1)


def _too_deep(raw: bytes) -> str:
    """What a line should be that opens more brackets inside each other than any resource; texts may hold brackets."""
    if raw.count(b"{") + raw.count(b"[") <= MOST_DEPTH:
        return ""
    depth = deepest = 0
    for bracket in BRACKETS.finditer(raw):
        step = bracket[0]
        depth += (step in (b"{", b"[")) - (step in (b"}", b"]"))
        deepest = max(deepest, depth)
    return f"at most {MOST_DEPTH} levels" if deepest > MOST_DEPTH else ""


def _broken(con: Any) -> list[Problem]:
    """Every line of `lines` that is no JSON object."""
    broken = con.execute("""
        select number from lines where case when json_valid(line) then json_type(line) <> 'OBJECT' else true end
        order by number
    """).fetchall()
    return [Problem("", f"line {number}", "one JSON object", AGAIN) for (number,) in broken]


def _steps(path: str) -> list[tuple[str, str, str]]:
    """Name, index (or what an entry says of itself) and ending of each step of a path."""
    found = list(STEP.finditer(path))
    if "".join(m.group() for m in found) != path or path.endswith(".") or not found:
        raise MappingError(f"read.columns: {path!r} is no path; write steps such as identifier[0].value.")
    return [(m[1], m[2] or "", m[3] or "") for m in found]


def _text(path: str) -> str:
    """The SQL of a path's text; where it leads to several that differ, all of them, which no mapping reads as one."""
    *before, last = _steps(path.removeprefix("."))
    value, is_list = _reach("entry" if path.startswith(".") else "line", before)
    name, _, ending = last
    if name == "reference" and ending:
        text = (
            _one(f"list_transform({value}, lambda v: v ->> '$.reference')") if is_list else f"{value} ->> '$.reference'"
        )
        return f"regexp_extract({text}, {sql_literal(f'(?:^|/){ending}/([^/]+)')}, 1)"
    if name == "unit" and not ending:
        # a quantity says its unit twice, and `code` alone is legal
        return _one(
            f"list_concat({', '.join(_texts(*_reach(value, [(n, '', '')], is_list)) for n in ('unit', 'code'))})"
        )
    value, is_list = _reach(value, [last], is_list)
    return _one(_texts(value, is_list)) if is_list else f"({value} ->> '$')"


def _texts(value: str, is_list: bool) -> str:
    """The SQL of a list of texts."""
    return f"list_transform({value}, lambda v: v ->> '$')" if is_list else f"[{value} ->> '$']"


def _one(texts: str) -> str:
    """The text that all of a list are, numbers by value; else all, as they stand."""
    given = f"list_filter({texts}, lambda t: t is not null)"
    same = f"list_distinct(list_transform({given}, lambda t: coalesce(try_cast(t as decimal(38,9))::varchar, t)))"
    return f"case when len({same}) > 1 then array_to_string({given}, ' | ') else {given}[1] end"


def _every(path: str) -> str:
    """The SQL of the list that a path leads to."""
    *before, (name, said, ending) = _steps(path)
    value, is_list = _reach("line", before)
    return _matching(f"{value}[1]" if is_list else value, name, said, ending)


def _reach(value: str, steps: Sequence[tuple[str, str, str]], is_list: bool = False) -> tuple[str, bool]:
    """The SQL of what steps lead to, and whether it is a list: of all that ends as a step says."""
    for name, index, ending in steps:
        is_several = bool(ending) or "=" in index
        step = (
            _matching("v" if is_list else value, name, index, ending)
            if is_several
            else f"({'v' if is_list else value} -> {_member(name, index)})"
        )
        value = f"list_transform({value}, lambda v: {step})" if is_list else step
        value = f"flatten({value})" if is_list and is_several else value
        is_list = is_list or is_several
    return value, is_list


def _member(name: str, index: str) -> str:
    return sql_literal(f'$."{name}"' + (f"[{index}]" if index else ""))


def _matching(value: str, name: str, said: str, ending: str) -> str:
    """The SQL of the entries of a list: those that say `element=text`, or whose url or system ends as given."""
    entries = f"coalesce(try_cast({value} -> {_member(name, '')} as json[]), [])"
    element, is_said, text = said.partition("=")
    if not (is_said or ending):
        return entries
    address = "coalesce(e ->> '$.url', e ->> '$.system', '')"
    says = f"e ->> {_member(element, '')} = {sql_literal(text)}" if is_said else ""
    return f"list_filter({entries}, lambda e: {says or f'ends_with({address}, {sql_literal(ending)})'})"
