"""From landed text to typed staged tables of one centre: its mapping compiled to SQL, one private database a centre."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import study, warehouse
from pipelines.mapping import DICTIONARY, Centre
from pipelines.staging_dates import MACROS
from pipelines.staging_fields import quote
from pipelines.staging_findings import PLACE, dropped_sql, fillable, findings_sql, key_of, partial_dates_sql
from pipelines.staging_numbers import MACROS as NUMBERS
from pipelines.staging_numbers import beyond
from pipelines.staging_rollup import differing, rolled_up
from pipelines.staging_rows import MOST_BLOCKS, ORIGIN, PartSql, compile_part, make_source
from pipelines.staging_transactions import CHANGED
from pipelines.staging_versions import CONTESTED, NO_CONTENTS
from pipelines.staging_words import MACROS as WORDS
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb

INVISIBLE = " \t\r\n\u00a0\u200b\u200c\u200d\u2060\ufeff"  # what spreadsheets and web forms leave around a text
PARQUET = "(format parquet, compression snappy, write_bloom_filter false, row_group_size 40960)"


@warehouse.again_with_room
def stage(centre: Centre, landed: Path, out: Path, limit: str | None = warehouse.SHARE) -> dict[str, int]:
    """Stage the delivery that lies in `landed` (named by its id) into `out`; returns the rows of each staged table.

    Input grain: one row per record received, all text, one Parquet file a source, `_notes` and `_received`.
    Output: one Parquet file for every staged table, those that the centre does not send empty, and `findings` (one row
    per thing to ask), `partial_dates` (one row per date without its day, with bounds), `dropped` (one row per row left
    out, with its reason) and `received` (one row per file and source). Units are the study's; numbers are exact. A
    staged row also keeps `_part` and `_place`, where the mapping found it, `_bad`, the raw text of each field that
    could not be used (JSON, NULL without any), and `_since`, NULL here (`deliveries.history` fills it). `out` is
    replaced as a whole or not at all. `limit`: the memory of the database that does it.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".staging-", dir=out.parent) as scratch:
        draft = Path(scratch) / "staged"
        draft.mkdir()
        with closing(warehouse.memory(Path(scratch), limit)) as con:
            # with one thread, and joins as they are written, rows keep their order; centres are staged side by side
            con.execute("set threads = 1; set disabled_optimizers = 'build_side_probe_side'")
            parts = _prepare(con, centre, landed)
            counts = _write_tables(con, centre, parts, draft)
            twice = _find_duplicates(con, centre)
            head = f"{lit(centre.name)} as centre, {lit(landed.name)} as delivery_id"
            received = f"select {head}, source, source_file, file_sha256, n_rows from received order by all"
            _write(con, draft / "findings.parquet", findings_sql(centre, landed, parts, head))
            _write(con, draft / "partial_dates.parquet", partial_dates_sql(draft / "findings.parquet"))
            _write(con, draft / "dropped.parquet", dropped_sql(centre, head))
            _write(con, draft / "received.parquet", received)
            for table in twice:
                once = f"from all_{table} anti join twice_{table} using ({PLACE}) order by {PLACE}"
                counts[table] = _write(con, draft / "once", once)
                (draft / "once").replace(draft / f"{table}.parquet")
        if out.exists():
            out.rename(Path(scratch) / "before")
        draft.rename(out)
    return counts


def _write(con: "duckdb.DuckDBPyConnection", target: Path, query: str) -> int:
    return int(con.execute(f"copy ({query}) to {lit(str(target))} {PARQUET}").fetchall()[0][0])


def _prepare(con: "duckdb.DuckDBPyConnection", centre: Centre, landed: Path) -> list[PartSql]:
    """Make the sources and `part_<table>_<n>` of every part that is rolled up; returns the parts."""
    missing = ", ".join(lit(m) for m in dict.fromkeys(["", *centre.missing]))
    blank = lit(INVISIBLE)
    con.execute(f"""
        {MACROS} {NUMBERS} {WORDS}
        -- a list, because `in` would be planned as one join per column
        create temp macro unless_missing(t) as case when not list_contains([{missing}], t) then t end;
        -- words of plain letters have nothing to trim, which takes three times as long as to see it
        create temp macro clean(t) as
            unless_missing(case when regexp_full_match(t, '[!-~]+( [!-~]+)*') then t else trim(t, {blank}) end);
        create temp table received as from read_parquet({lit(str(landed / "_received.parquet"))});
    """)
    columns = _landed_columns(con, landed)
    _make_sources(con, centre, landed, columns)
    choices = _choices(con, centre)
    columns = {n: [s.rename.get(c, c) for c in columns[n]] for n, s in centre.sources.items() if n in columns}
    return [compile_part(centre, t, n, columns, choices) for t, many in centre.tables.items() for n in range(len(many))]


def _make_sources(
    con: "duckdb.DuckDBPyConnection", centre: Centre, landed: Path, columns: Mapping[str, Sequence[str]]
) -> None:
    """Make `source_<name>` with every column that the mapping names, and `absent`, those that a table did not have."""
    con.execute(f"create temp table absent (source varchar, field varchar); {CHANGED}")
    for name, source in centre.sources.items():
        there, wanted = columns.get(name, ()), centre.columns(name)
        named = sorted({*wanted, *(source.rename.get(c, c) for c in there if c in wanted)})
        if name in columns:
            make_source(
                con,
                name,
                source,
                str(landed / f"{name}.parquet"),
                there,
                named,
                next(iter(centre.subject_columns(name)), ""),
            )
        else:
            cells = "".join(f", null::varchar as {quote(c)}" for c in (*ORIGIN, *named, "_reason"))
            con.execute(f"create temp view source_{name} as select 0 as _rid{cells} where false")
            con.execute(f"create temp view origin_{name} as select _rid, {', '.join(ORIGIN)} from source_{name}")
            for what in CONTESTED:
                con.execute(f"create temp view {what}_{name} as {NO_CONTENTS}")
        # formats without a header leave out what is nowhere filled, and blocks name columns by pattern
        if name in columns and source.read["format"] in ("csv", "xlsx") and not wanted.patterns:
            wanted_here = [c for c in named if source.raw(c) not in there and c not in source.transacted]
            for column in map(source.raw, wanted_here):
                con.execute(f"insert into absent values ({lit(name)}, {lit(column)})")


def _landed_columns(con: "duckdb.DuckDBPyConnection", landed: Path) -> dict[str, list[str]]:
    """Source -> the columns that were landed."""
    found: dict[str, list[str]] = {}
    query = f"select file_name, name from parquet_schema({lit(str(landed / '*.parquet'))}) where type is not null"
    for file, column in con.execute(query).fetchall():
        found.setdefault(Path(file).stem, []).append(column)
    return found


def _choices(con: "duckdb.DuckDBPyConnection", centre: Centre) -> dict[str, dict[str, str | None]]:
    """Raw column -> code -> label, from the choices (`1, one | 2, two`) of the dictionaries that the mapping names; no
    label where they give several, which `two_labels` lists with the place of the second."""
    con.execute(
        "create temp table two_labels (source varchar, variable varchar, code varchar, labels varchar, place bigint)"
    )
    fields = [f for parts in centre.tables.values() for part in parts for f in part.fields if "choices" in f.spec]
    found: dict[str, dict[str, str | None]] = {}
    variable, choices = (quote(c) for c in DICTIONARY)
    for name in sorted({f.spec["choices"] for f in fields}):
        read = ", ".join(sorted({lit(f.columns[0]) for f in fields if f.spec["choices"] == name}))
        rows = con.execute(f"""
            with choice as (
                select _rid, {variable} as variable, unnest(string_split({choices}, '|')) as words from source_{name}
                where {variable} in ({read})
            ),
            label as (
                select variable, trim(split_part(words, ',', 1)) as code, trim(words[instr(words, ',') + 1:]) as label,
                    min(_rid) as place
                from choice where contains(words, ',') group by all
            )
            select variable, code, list(label order by place, label), max(place) from label group by all order by all
        """).fetchall()
        for column, code, labels, place in rows:
            found.setdefault(column, {})[code] = labels[0] if len(labels) == 1 else None
            if len(labels) > 1:
                con.execute(
                    "insert into two_labels values (?, ?, ?, ?, ?)", [name, column, code, " | ".join(labels), place]
                )
    return found


def _write_tables(
    con: "duckdb.DuckDBPyConnection", centre: Centre, parts: Sequence[PartSql], draft: Path
) -> dict[str, int]:
    """Write every staged table, `links` first because the others take their study codes from it.

    Makes `all_<table>`, which reads it, and `link`, local id -> study code.
    """
    counts = {}
    for table in sorted(study.staged_tables(), key=lambda name: name != "links"):
        target = draft / f"{table}.parquet"
        rows = _union(con, centre, table, [p for p in parts if p.table == table])
        # letters that differ in case alone make no other code
        code = "upper(a.usubjid)" if table == "links" else "l.usubjid"
        linked = "" if table == "links" else "left join link l using (local_id)"
        cells = ", ".join(f"{code} as usubjid" if c == "usubjid" else f"a.{quote(c)}" for c in fillable(table))
        origin = ", ".join(f"a.{c}" for c in ORIGIN)
        technical = f"{PLACE}, _bad, null::varchar as _since"
        query = f"select {cells}, {lit(centre.name)} as centre, {origin}, {technical} from ({rows}) a {linked}"
        counts[table] = _write(con, target, query)
        con.execute(f"create temp view all_{table} as from read_parquet({lit(str(target))})")
        if table == "links":
            con.execute("""
                create temp table link as
                select local_id, usubjid from all_links where local_id is not null and usubjid is not null
                qualify row_number() over (partition by local_id order by _part, _place) = 1
            """)
    return counts


def _union(con: "duckdb.DuckDBPyConnection", centre: Centre, table: str, parts: Sequence[PartSql]) -> str:
    """All parts of a staged table with every column, after their rollups (whose rows are kept for the findings).

    `_bad` of what was rolled up holds sums that their column does not."""
    selects = []
    for number, (part, sql) in enumerate(zip(centre.tables.get(table, ()), parts, strict=True)):
        rows, names, bad = f"({sql.query})", {f.name for f in part.fields}, "_bad"
        if part.rollups:
            con.execute(f"create temp table {sql.name} as {sql.query}")
            rows = sql.name
        for rollup in part.rollups:
            rows, names = rolled_up(rows, rollup, names)
        if part.rollups:
            types = {c: about.sql_type for c, about in fillable(table).items() if c in names}
            bad = beyond(types, sql.raw, differing(centre, part, names))
            # in the order of the file, because its rows look for theirs among the rolled up
            rows = f"origin_{part.source} join {rows} on _rid = _place // {MOST_BLOCKS}"
        cells = ", ".join(
            f"{f'try_cast({quote(c)} as {about.sql_type})' if c in names else f'null::{about.sql_type}'} as {quote(c)}"
            for c, about in fillable(table).items()
        )
        selects.append(f"select {number} as _part, _place, {', '.join(ORIGIN)}, {cells}, {bad} as _bad from {rows}")
    if not selects:
        cells = ", ".join(f"null::{about.sql_type} as {quote(c)}" for c, about in fillable(table).items())
        origin = ", ".join(f"'' as {c}" for c in ORIGIN)
        return f"select 0 as _part, 0 as _place, {origin}, {cells}, null::varchar as _bad where false"
    return " union all ".join(selects)


def _find_duplicates(con: "duckdb.DuckDBPyConnection", centre: Centre) -> list[str]:
    """Make `twice_<table>`, the places of rows whose key an earlier row has, with that of the first (`kept_`); returns
    the tables that have such rows.

    The study code follows from the local id, so within a centre the local id stands for it. Links may repeat: a local
    id with two codes is for the linkage to judge.
    """
    found = []
    for table in study.staged_tables():
        columns = ["local_id", *(c for c in key_of(table) if c != "usubjid")]
        key, given = ", ".join(columns), " and ".join(f"{c} is not null" for c in columns)
        query = "select 0 as _part, 0 as _place, 0 as kept_part, 0 as kept_place where false"
        if table in centre.tables and table != "links":
            # a number stands for the key, because most tables have no key twice
            several = f"select hash({key}) as h from all_{table} where {given} group by h having count(*) > 1"
            query = f"""
                select {PLACE}, first_value(_part) over same as kept_part, first_value(_place) over same as kept_place
                from all_{table} where {given} and hash({key}) in ({several})
                window same as (partition by {key} order by {PLACE})
                qualify row_number() over same > 1
            """
        con.execute(f"create temp table twice_{table} as {query}")
        found += [table] if con.execute(f"from twice_{table} limit 1").fetchall() else []
    return found
