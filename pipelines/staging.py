"""From landed text to typed staged tables of one centre: its mapping compiled to SQL, one private database a centre."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import study, warehouse
from pipelines.mapping import DICTIONARY, Centre
from pipelines.staging_fields import MACROS, quote
from pipelines.staging_findings import PLACE, dropped_sql, fillable, findings_sql, key_of
from pipelines.staging_rows import PartSql, compile_part, compile_source
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb

INVISIBLE = " \t\r\n\u00a0\u200b\u200c\u200d\u2060\ufeff"  # what spreadsheets and web forms leave around a text


def stage(centre: Centre, landed: Path, out: Path) -> dict[str, int]:
    """Stage the delivery that lies in `landed` (named by its id) into `out`; returns the rows of each staged table.

    Input grain: one row per record received, all text, one Parquet file a source, `_notes` and `_received`.
    Output: one Parquet file for every staged table, those that the centre does not send empty, and `findings` (one row
    per thing to ask), `dropped` (one row per row left out, with its reason) and `received` (one row per file and
    source). Units are the study's; numbers are exact. `out` is replaced as a whole or not at all.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".staging-", dir=out.parent) as scratch, closing(warehouse.memory()) as con:
        draft = Path(scratch) / "staged"
        draft.mkdir()
        parts = _prepare(con, centre, landed)
        queries = {table: _final(centre, landed.name, table) for table in study.staged_tables()}
        head = f"{lit(centre.name)} as centre, {lit(landed.name)} as delivery_id"
        queries |= {
            "findings": findings_sql(centre, landed, parts, head),
            "dropped": dropped_sql(centre, head),
            "received": f"select {head}, source, source_file, file_sha256, n_rows from received order by all",
        }
        counts = {name: _write(con, draft / f"{name}.parquet", query) for name, query in queries.items()}
        if out.exists():
            out.rename(Path(scratch) / "before")
        draft.rename(out)
    return {table: counts[table] for table in study.staged_tables()}


def _write(con: "duckdb.DuckDBPyConnection", target: Path, query: str) -> int:
    done = con.execute(f"copy ({query}) to {lit(str(target))} (format parquet, compression zstd)").fetchall()
    return int(done[0][0])


def _prepare(con: "duckdb.DuckDBPyConnection", centre: Centre, landed: Path) -> list[PartSql]:
    """Make the sources, `part_<table>_<n>`, `link`, `all_<table>` and `twice_<table>`; returns the parts."""
    missing = ", ".join(lit(m) for m in dict.fromkeys(["", *centre.missing]))
    blank = lit(INVISIBLE)
    con.execute(f"""
        {MACROS}
        -- a list, because `in` would be planned as one join per column
        create temp macro clean(t) as
            case when not list_contains([{missing}], trim(t, {blank})) then trim(t, {blank}) end;
        create temp table received as from read_parquet({lit(str(landed / "_received.parquet"))});
        create temp view files as
            select source_file, any_value(file_sha256) as file_sha256 from received group by source_file;
    """)
    columns = _landed_columns(con, landed)
    _make_sources(con, centre, landed, columns)
    choices = _choices(con, centre)
    parts = [
        compile_part(centre, t, n, columns, choices) for t, many in centre.tables.items() for n in range(len(many))
    ]
    for part in parts:
        con.execute(f"create temp table {part.name} as {part.query}")
    for table in study.staged_tables():
        con.execute(f"create temp view all_{table} as {_union(centre, table)}")
    con.execute("""
        create temp table link as
        select local_id, usubjid from all_links where local_id is not null and usubjid is not null
        qualify row_number() over (partition by local_id order by _part, _place) = 1
    """)
    _find_duplicates(con, centre)
    return parts


def _make_sources(
    con: "duckdb.DuckDBPyConnection", centre: Centre, landed: Path, columns: Mapping[str, Sequence[str]]
) -> None:
    """Make `source_<name>` with every column that the mapping names, and `absent`, those that a table did not have."""
    con.execute("create temp table absent (source varchar, field varchar)")
    for name, source in centre.sources.items():
        there, wanted = columns.get(name, ()), centre.columns(name)
        named = sorted({*wanted, *(c for c in there if c in wanted)})
        if name in columns:
            query = compile_source(source, str(landed / f"{name}.parquet"), there, named)
        else:
            place = "0 as _rid, '' as source_file, '' as source_row"
            cells = "".join(f", null::varchar as {quote(c)}" for c in named)
            query = f"select {place}{cells}, null::varchar as _reason where false"
        # rows that are judged one against another are judged once, the others are read where they are needed
        judged = source.stop_at or source.fill_down or source.current_row
        con.execute(f"create temp {'table' if judged else 'view'} source_{name} as {query}")
        # formats without a header leave out what is nowhere filled, and blocks name columns by pattern
        if name in columns and source.read["format"] in ("csv", "xlsx") and not wanted.patterns:
            for column in (c for c in named if c not in there):
                con.execute(f"insert into absent values ({lit(name)}, {lit(column)})")


def _landed_columns(con: "duckdb.DuckDBPyConnection", landed: Path) -> dict[str, list[str]]:
    """Source -> the columns that were landed."""
    found: dict[str, list[str]] = {}
    query = f"select file_name, name from parquet_schema({lit(str(landed / '*.parquet'))}) where type is not null"
    for file, column in con.execute(query).fetchall():
        found.setdefault(Path(file).stem, []).append(column)
    return found


def _choices(con: "duckdb.DuckDBPyConnection", centre: Centre) -> dict[str, dict[str, str]]:
    """Raw column -> code -> label, from the choices (`1, one | 2, two`) of the dictionaries that the mapping names."""
    fields = (f for parts in centre.tables.values() for part in parts for f in part.fields)
    found: dict[str, dict[str, str]] = {}
    for name in sorted({f.spec["choices"] for f in fields if "choices" in f.spec}):
        variable, choices = (quote(c) for c in DICTIONARY)
        rows = con.execute(f"""
            with choice as (
                select {variable} as variable, unnest(string_split({choices}, '|')) as words from source_{name}
            )
            select variable, trim(split_part(words, ',', 1)), trim(words[instr(words, ',') + 1:])
            from choice where contains(words, ',')
        """).fetchall()
        for variable, code, label in rows:
            found.setdefault(variable, {})[code] = label
    return found


def _union(centre: Centre, table: str) -> str:
    """All parts of a staged table with every column, after their rollups."""
    selects = []
    for number, part in enumerate(centre.tables.get(table, ())):
        rows, names = f"part_{table}_{number}", {f.name for f in part.fields}
        for rollup in part.rollups:
            rows, names = _rollup(rows, rollup)
        cells = ", ".join(
            f"{f'try_cast({quote(c)} as {about.sql_type})' if c in names else f'null::{about.sql_type}'} as {quote(c)}"
            for c, about in fillable(table).items()
        )
        selects.append(f"select {number} as _part, _place, source_file, source_row, {cells} from {rows}")
    if not selects:
        cells = ", ".join(f"null::{about.sql_type} as {quote(c)}" for c, about in fillable(table).items())
        place = "0 as _part, 0 as _place, '' as source_file, '' as source_row"
        return f"select {place}, {cells} where false"
    return " union all ".join(selects)


def _rollup(rows: str, rollup: Mapping[str, Sequence[str]]) -> tuple[str, set[str]]:
    """Rows that agree in `by` become one; its place is that of the first of them."""
    verbs = {"sum": "sum({})", "max": "max({})", "min": "min({})", "first": "min_by({}, _place)"}
    cells = [quote(c) for c in rollup["by"]]
    cells += [f"{sql.format(quote(c))} as {quote(c)}" for verb, sql in verbs.items() for c in rollup.get(verb, ())]
    cells += [f"count(*) as {quote(c)}" for c in rollup.get("count", ())]
    cells += [f"min_by({c}, _place) as {c}" for c in ("source_file", "source_row")]
    names = {c for columns in rollup.values() for c in columns}
    by = ", ".join(quote(c) for c in rollup["by"])
    return f"(select {', '.join(cells)}, min(_place) as _place from {rows} group by {by})", names


def _find_duplicates(con: "duckdb.DuckDBPyConnection", centre: Centre) -> None:
    """Make `twice_<table>`, the places of rows whose key an earlier row has; most tables have none, so count first.

    The study code follows from the local id, so within a centre the local id stands for it. Links may repeat: a local
    id with two codes is for the linkage to judge.
    """
    keys = {t: ["local_id", *(c for c in key_of(t) if c != "usubjid")] for t in centre.tables if t != "links"}
    counts = [
        f"select {lit(t)} where exists "
        f"(select 1 from all_{t} where {_given(k)} group by {', '.join(k)} having count(*) > 1)"
        for t, k in keys.items()
    ]
    repeated = {row[0] for row in con.execute(" union all ".join(counts)).fetchall()} if counts else set()
    for table in study.staged_tables():
        if table in repeated:
            key = ", ".join(keys[table])
            query = f"""
                select {PLACE} from all_{table} where {_given(keys[table])}
                qualify row_number() over (partition by {key} order by {PLACE}) > 1
            """
        else:
            query = "select 0 as _part, 0 as _place where false"
        con.execute(f"create temp table twice_{table} as {query}")


def _given(columns: Sequence[str]) -> str:
    return " and ".join(f"{c} is not null" for c in columns)


def _final(centre: Centre, delivery: str, table: str) -> str:
    """A staged table: study codes by link, provenance, without the rows whose key came before."""
    code = "a.usubjid" if table == "links" else "l.usubjid"
    cells = ", ".join(f"{code} as usubjid" if c == "usubjid" else f"a.{quote(c)}" for c in fillable(table))
    return f"""
        select {cells}, {lit(centre.name)} as centre, {lit(delivery)} as delivery_id, f.file_sha256, a.source_file,
            a.source_row
        from all_{table} a left join link l using (local_id) left join files f on f.source_file = a.source_file
        anti join twice_{table} using ({PLACE}) order by {PLACE}
    """
