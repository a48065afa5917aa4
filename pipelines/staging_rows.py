"""Which rows of a source are records, and how a part of a mapping makes staged rows of them, as SQL."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipelines.mapping import Centre, Part, Source, Where, taken
from pipelines.staging_fields import compile_field, quote, sql_type
from pipelines.staging_transactions import transacted
from pipelines.staging_unread import unread
from pipelines.staging_versions import superseded, twins
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb

ORIGIN = ("delivery_id", "file_sha256", "source_file", "source_row")
MOST_BLOCKS = 10_000  # more than a file may have columns: row and block make one number


@dataclass(frozen=True)
class PartSql:
    """One part of a staged table: the name it is kept under, its query, and staged column -> raw columns."""

    table: str
    number: int
    name: str
    query: str
    raw: Mapping[str, str]


def condition(where: Where) -> str:
    """All conditions on cleaned columns as one SQL predicate that is never NULL."""
    tests = []
    for column, checks in where.items():
        text = f"coalesce({quote(column)}, '')"
        for verb, value in checks.items():
            if verb == "blank":
                tests.append(f"{text} {'=' if value else '<>'} ''")
            elif verb in ("in", "not_in"):
                listed = ", ".join(lit(v) for v in value) or "null"
                tests.append(f"coalesce({text} {verb.replace('_', ' ')} ({listed}), {str(verb == 'not_in').lower()})")
            else:
                tests.append(f"{'not ' if verb == 'not_matches' else ''}regexp_matches({text}, {lit(value)})")
    return "(" + " and ".join(tests or ["true"]) + ")"


def compile_source(
    source: Source, reads: str, landed: Iterable[str], named: Iterable[str], stops: Mapping[str, int] | None = None
) -> str:
    """The rows of a landed source in file order, cleaned: `_rid`, place, named columns and `_reason` of dropped rows.

    `reads`: SQL of the rows, with their number and, where the source has transactions, `_why` some are dropped already.
    `stops`: file -> the row from which on it holds no records. A named column that is not landed is NULL throughout:
    formats that write only what is filled leave it out.
    """
    there = set(landed)
    raw = {c: source.raw(c) for c in sorted(named)}
    cells = "".join(
        f", {f'clean({quote(r)})' if r in there else 'null::varchar'} as {quote(c)}" for c, r in raw.items()
    )
    why = ", _why" if source.transactions else ""
    steps = [f"cleaned as (select file_row_number as _rid, {', '.join(ORIGIN)}{cells}{why} from {reads})"]
    reasons = ["when _why is not null then _why"] if source.transactions else []
    stopped = " ".join(f"when {lit(file)} then {row}" for file, row in (stops or {}).items())
    reasons += [f"when _rid >= case source_file {stopped} end then 'footer'"] if stopped else []
    reasons += [f"when {condition(d['where'])} then {lit(d['reason'])}" for d in source.drop_rows]
    reason = f"case {' '.join(reasons)} end" if reasons else "null::varchar"
    steps.append(f"judged as (select *, {reason} as _reason from cleaned)")
    last = "judged"
    if source.fill_down:
        over = "over (partition by source_file order by _rid)"
        fills = ", ".join(
            f"last_value(case when _reason is null then {quote(c)} end ignore nulls) {over} as {quote(c)}"
            for c in source.fill_down
        )
        steps.append(f"filled as (select * replace ({fills}) from {last})")
        last = "filled"
    return f"with {', '.join(steps)} select * from {last}"


def make_source(
    con: "duckdb.DuckDBPyConnection",
    name: str,
    source: Source,
    path: str,
    landed: Iterable[str],
    named: Sequence[str],
    subject: str,
) -> None:
    """Make `source_<name>`, a view unless rows are filled from above; what all rows together decide is found first.

    `subject`: column of the centre's own id. `origin_<name>` gives the origin of a row by its number.
    """
    reads = f"read_parquet({lit(path)}, file_row_number = true)"
    con.execute(f"create temp view origin_{name} as select file_row_number as _rid, {', '.join(ORIGIN)} from {reads}")
    if source.transactions:
        reads = f"({transacted(con, name, source, path, list(landed), ORIGIN, subject)})"
    stops = {}
    if source.stop_at:
        rows = compile_source(replace(source, drop_rows=(), fill_down=()), reads, landed, source.stop_at)
        found = (
            f"select source_file, min(_rid) from ({rows}) where {condition(source.stop_at)} group by all order by all"
        )
        stops = dict(con.execute(found).fetchall())
    query = compile_source(source, reads, landed, named, stops)
    if source.current_row:
        reason = superseded(con, name, source, query, named, subject or source.current_row["by"][0])
        query = f"select * replace (coalesce(_reason, {reason}) as _reason) from ({query})"
    if source.one_content:
        reason = twins(con, name, source, query, named, subject or source.one_content[0])
        query = f"select * replace (coalesce(_reason, {reason}) as _reason) from ({query})"
    con.execute(f"create temp {'table' if source.fill_down else 'view'} source_{name} as {query}")


def compile_part(
    centre: Centre,
    table: str,
    number: int,
    landed: Mapping[str, Sequence[str]],
    choices: Mapping[str, Mapping[str, str | None]],
) -> PartSql:
    """The query of one part: a row per record (or block), with staged values and `_bad`, what could not be used.

    `landed`: source -> its columns; `choices`: raw column -> code -> label. `_bad` is NULL in a row without a problem.
    """
    part = centre.tables[table][number]
    rows, raw = _rows(centre, part, landed)
    summed = {c for rollup in part.rollups for c in rollup.get("sum", ())}
    fields = [compile_field(centre, table, f, i, choices, f.name in summed) for i, f in enumerate(part.fields)]
    reads = ", ".join(f"{f.text} as _r{i}" + (f", {f.unit} as _u{i}" if f.unit else "") for i, f in enumerate(fields))
    types = [sql_type(table, f, f.name in summed) for f in part.fields]
    typed = [f"({f.value})::{t} as _v{i}" for i, (f, t) in enumerate(zip(fields, types, strict=True))]
    # blocks leave no dictionary of their texts behind, and to read a date takes long: each different text is read once
    plain = (f.type == "date" and not {"constant", "from_checkbox"} & f.spec.keys() for f in part.fields)
    days = [i for i, is_day in enumerate(plain) if is_day and part.unpivot]
    once = "".join(f", day{i} as (select _r{i}, {typed[i]} from (select distinct _r{i} from read))" for i in days)
    # a blank text has its match too, or its row would come after the others
    joined = "".join(f" left join day{i} on day{i}._r{i} is not distinct from read._r{i}" for i in days)
    values = ", ".join(f"day{i}._v{i}" if i in days else value for i, value in enumerate(typed))
    named = ", ".join(f"_v{i} as {quote(f.name)}" for i, f in enumerate(fields))
    bad = unread(centre, part, fields, raw)
    # rows that are rolled up take their origin from their place afterwards: texts are costly to carry through groups
    origin = "" if part.rollups else f"{', '.join(ORIGIN)}, "
    query = (
        f"with {rows}, read as not materialized (select *, {reads} from rows){once}, "
        f"typed as (select read.*, {values} from read{joined}) "
        f"select _rid * {MOST_BLOCKS} + _blk as _place, {origin}{named}, {bad} as _bad from typed"
    )
    there = {f.name: ", ".join(map(centre.sources[part.source].raw, f.columns)) for f in part.fields}
    return PartSql(table, number, f"part_{table}_{number}", query, there)


def _rows(centre: Centre, part: Part, landed: Mapping[str, Sequence[str]]) -> tuple[str, dict[str, str]]:
    """The part's rows with all columns that its fields read, and for made columns the SQL of the raw column's name."""
    blocks, made = _blocks(part, landed.get(part.source, ()))
    later = {c: w for c, w in part.where.items() if c in made or c in part.taken}
    first = {c: w for c, w in part.where.items() if c not in later}
    steps = [f"s0 as (select *, 0 as _blk from source_{part.source} where _reason is null and {condition(first)})"]
    if part.unpivot:
        cells = ", ".join(f"_b.{quote(c)} as {quote(c)}" for c in made)
        filled = " or ".join(f"_b.{quote(c)} is not null" for c in made if made[c])
        # what the fields read from the blocks has a name that the source may seem to have too
        hidden = ", ".join(["_blk", *(quote(c) for c in made if c in centre.columns(part.source).names)])
        steps.append(f"s1 as (select * exclude ({hidden}), unnest({blocks}) as _b from s0)")
        steps.append(f"s2 as (select * exclude (_b), _b._blk, {cells} from s1 where {filled or 'false'})")
    last = "s2" if part.unpivot else "s0"
    for i, look in enumerate(part.lookups):
        there, here = f"there{i}", f"looked{i}"
        keys = ", ".join(f"{quote(c)} as _k{n}" for n, c in enumerate(look["on"].values()))
        # rows that say different things give both, which no type reads: it is asked, and never chosen
        told = "min({0}) || if(min({0}) < max({0}), ' | ' || max({0}), '') as {1}"
        takes = ", ".join(told.format(quote(old), quote(new)) for new, old in taken(look).items())
        on = " and ".join(f"{last}.{quote(c)} = {there}._k{n}" for n, c in enumerate(look["on"]))
        steps.append(
            f"{there} as (select {keys}, {takes}, min(_rid) as _at{i} from source_{look['source']} "
            f"where _reason is null and {condition(look.get('where', {}))} group by all)"
        )
        joined = ", ".join([*(f"{there}.{quote(new)}" for new in taken(look)), f"{there}._at{i}"])
        steps.append(f"{here} as (select {last}.*, {joined} from {last} left join {there} on {on})")
        last = here
    steps.append(f"rows as (select * from {last} where {condition(later)})")
    return ", ".join(steps), {c: sql for c, sql in made.items() if sql}


def _blocks(part: Part, landed: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The blocks of an unpivot as a list of structs, and the columns it makes: SQL of the raw column's name, or ''."""
    unpivot = part.unpivot
    if not unpivot:
        return "", {}
    if "columns" in unpivot:
        name, value = unpivot["name"], unpivot["value"]
        structs = [
            f"{{'_blk': {i}, {lit(name)}: {lit(c)}, {lit(value)}: {quote(c)}}}"
            for i, c in enumerate(unpivot["columns"])
        ]
        return f"[{', '.join(structs)}]", {name: "", value: quote(name)}
    pattern = re.compile(unpivot["blocks"])
    found: dict[tuple[str, ...], dict[str, str]] = {}
    groups = [g for g in pattern.groupindex if g != "field"]
    for column in landed:
        match = pattern.fullmatch(column)
        if match:
            label = tuple(match[g] if match[g] is not None else unpivot.get("default", {}).get(g, "") for g in groups)
            found.setdefault(label, {})[match["field"]] = column
    wanted = {c for f in part.fields for c in f.columns} - set(groups)
    fields = sorted({f for block in found.values() for f in block})
    # a field that no block of this delivery has is NULL throughout
    fields += sorted(w for w in wanted if w not in fields and w not in landed and w not in part.taken)
    structs, names = [], {f: "" for f in fields}
    for i, (label, block) in enumerate(found.items()):
        cells = [f"{lit(g)}: {lit(text)}" for g, text in zip(groups, label, strict=True)]
        cells += [f"{lit(f)}: {quote(block[f]) if f in block else 'null::varchar'}" for f in fields]
        structs.append(f"{{'_blk': {i}, {', '.join(cells)}}}")
    for f in fields:
        cases = " ".join(f"when {i} then {lit(b[f])}" for i, b in enumerate(found.values()) if f in b)
        names[f] = f"case _blk {cases} end" if cases else "null::varchar"
    if not structs:
        kinds = "".join(f", {quote(c)} varchar" for c in [*groups, *fields])
        return f"[]::struct(_blk integer{kinds})[]", {**{g: "" for g in groups}, **names}
    return f"[{', '.join(structs)}]", {**{g: "" for g in groups}, **names}
