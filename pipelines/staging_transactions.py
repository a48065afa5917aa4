"""Which rows of a record hold: those of a transactional export after its changes, and the current one of versions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.mapping import Source
from pipelines.staging_fields import quote
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb

NUMBER = "try_cast({} as decimal(38,6))"
INSERTS, UPDATES = ("", "Insert"), ("Update", "Upsert")
REMOVED, SUPERSEDED, CONTEXT, UNKNOWN = "removed_by_the_centre", "superseded", "context_only", "unknown_transaction"

NO_CONTENTS = "select '' as _whole, '' as local_id, '' as source_file, '' as source_row, '' as others where false"


def transacted(
    con: "duckdb.DuckDBPyConnection", name: str, source: Source, path: str, landed: Sequence[str], origin: Sequence[str]
) -> str:
    """SQL of a landed source's rows after its transactions, with `file_row_number` and `_why` of those dropped.

    `source.transactions`: `by`, the columns that name a record from its subject down, `type`, and `nulls`, a column
    that lists the columns stated to be blank, with spaces between. Rows are taken in the order in which they landed. An
    update changes what it states and leaves the rest; the row that holds then is the last that touched the record. A
    removal whose last columns of `by` are blank removes every record below. A record that is inserted twice stays
    twice: that is for the rule about duplicates. Works on the texts as received, because a word that means missing is
    stated, too. Source: CDISC ODM 1.3.2, transaction types.
    """
    reads = f"read_parquet({lit(path)}, file_row_number = true)"
    plain = f"select *, null::varchar as _why from {reads}"
    verb = source.transactions
    # rows are as landed: in the names of their layout
    changed, nulls = source.raw(verb["type"]), source.raw(verb.get("nulls", ""))
    if changed not in landed:
        return plain
    kind = f"coalesce(trim({quote(changed)}), '')"
    if not con.execute(f"select 1 from {reads} where {kind} not in {_listed(INSERTS)} limit 1").fetchall():
        return plain
    there = [c for c in landed if c not in origin]
    by = map(source.raw, verb["by"])
    keys = [f"nullif(trim({quote(c)}), '')" if c in there else "null::varchar" for c in by]
    con.execute(f"create temp table touched_{name} as {_touched(reads, kind, keys)}")
    con.execute(f"create temp table told_{name} as {_told(name, reads, keys, there, nulls, origin)}")
    kept = f"{plain} where file_row_number not in (select _rid from touched_{name})"
    return f"{kept} union all by name from told_{name}"


def _listed(words: Sequence[str]) -> str:
    return f"({', '.join(map(lit, words))})"


def _touched(reads: str, kind: str, keys: Sequence[str]) -> str:
    """Rows that do not stay as they are: `_rid`, and `_why` of those that are dropped."""
    names = [f"k{i}" for i in range(len(keys))]
    cells = ", ".join(f"{sql} as {k}" for k, sql in zip(names, keys, strict=True))
    depth = f"greatest(0, {', '.join(f'case when {k} is not null then {i + 1} end' for i, k in enumerate(names))})"
    steps = [
        f"told as not materialized (select file_row_number as _rid, {kind} as kind, {cells} from {reads})",
        f"removal as (select *, {depth} as depth from told where kind = 'Remove')",
    ]
    joins, lasts = "", ["null::bigint"]
    for i in range(1, len(names) + 1):
        upper = names[:i]
        steps.append(
            f"gone{i} as (select {', '.join(upper)}, max(_rid) as last from removal where depth = {i} group by all)"
        )
        on = " and ".join(f"told.{k} is not distinct from gone{i}.{k}" for k in upper)
        joins += f" left join gone{i} on {on}"
        lasts.append(f"gone{i}.last")
    steps.append(f"""placed as not materialized (
        select told._rid, kind, hash({", ".join(f"told.{k}" for k in names)}) as h, case
            when kind = 'Context' then {lit(CONTEXT)}
            when kind not in {_listed((*INSERTS, *UPDATES, "Remove"))} then {lit(UNKNOWN)}
            when kind = 'Remove' or told._rid < greatest({", ".join(lasts)}) then {lit(REMOVED)}
        end as _why
        from told{joins}
    )""")
    updated = f"select h from placed where _why is null and kind in {_listed(UPDATES)}"
    return f"with {', '.join(steps)} select _rid, _why from placed where _why is not null or h in ({updated})"


def _told(name: str, reads: str, keys: Sequence[str], there: Sequence[str], nulls: str, origin: Sequence[str]) -> str:
    """The touched rows as they are now: one per record that holds, and those that were dropped."""
    blank = f"string_split(coalesce({quote(nulls)}, ''), ' ')" if nulls in there else "[]::varchar[]"
    cells = [f"arg_max({c}, file_row_number) as {c}" for c in origin]
    cells += [
        f"arg_max_null({quote(c)}, file_row_number) filter "
        f"(where {quote(c)} is not null or list_contains({blank}, {lit(c)})) as {quote(c)}"
        for c in there
    ]
    return f"""
        with several as (select * from {reads} join touched_{name} on _rid = file_row_number),
        held as (
            select {", ".join(cells)}, max(file_row_number) as file_row_number, null::varchar as _why
            from several where _why is null group by {", ".join(keys)}
        )
        select * from held
        union all by name
        select * exclude (_rid) replace (coalesce(_why, {lit(SUPERSEDED)}) as _why) from several
        where _why is not null or file_row_number not in (select file_row_number from held)
    """


def superseded(con: "duckdb.DuckDBPyConnection", name: str, source: Source, query: str) -> str:
    """SQL that gives `superseded` for the rows that are not the current version of their record."""
    by = ", ".join(quote(c) for c in source.current_row["by"])
    orders, values = [], []
    for column, take in source.current_row["take"].items():
        text = quote(column)
        if take in ("max", "min"):
            way = "desc" if take == "max" else "asc"
            orders += [f"{NUMBER.format(text)} {way} nulls last", f"{text} {way} nulls last"]
        else:
            values.append(f"{text} is distinct from {lit(take)}")
    wrong = " or ".join(values) or "false"
    if orders:
        # few records have versions: only those are ordered; a version that is dropped supersedes those before it, too
        con.execute(f"""
            create temp table superseded_{name} as
            with candidate as (select * from ({query}) where not ({wrong})),
            -- a record without an id is no version of another
            several as (
                select hash({by}) as h from candidate where coalesce({by}) is not null group by h having count(*) > 1
            )
            select _rid from candidate where hash({by}) in (from several)
            qualify row_number() over (partition by {by} order by {", ".join(orders)}, _rid) > 1
        """)
        wrong += f" or _rid in (select _rid from superseded_{name})"
    return f"case when {wrong} then 'superseded' end"


def twins(
    con: "duckdb.DuckDBPyConnection", name: str, source: Source, query: str, named: Sequence[str], subject: str
) -> str:
    """SQL that gives `sent_twice` to rows that came before, `two_contents` to all of a whole that has several contents.

    Makes `contents_<name>`, a row per whole that has several: `_whole`, the place of its first row, `others`, the
    files (of one file the rows) that hold it, too, and `local_id`, what all have in column `subject`.
    """
    whole, row, values = quote(source.one_content[0]), *(", ".join(map(quote, c)) for c in (source.one_content, named))
    con.execute(f"""
        create temp table again_{name} as
        -- few files come again: only those are compared
        with several as (
            select hash({whole}) as w from ({query}) group by w
            having min(source_file) <> max(source_file) or count(*) > count(distinct hash({row}))
        )
        select _rid, source_file, source_row, {whole} as _whole, {quote(subject)} as _subject, hash({row}) as _row,
            hash({values}) as _content
        from ({query}) where {whole} is not null and hash({whole}) in (from several);

        create temp table contents_{name} as
        with contents as (
            select _whole, source_file, list_sort(list(distinct _content)) as _content, min(_rid) as _rid
            from again_{name} group by all
        ),
        differ as (
            select _whole from contents group by _whole having count(distinct _content) > 1
            union
            select _whole from again_{name} group by _whole, _row having count(distinct _content) > 1
        ),
        places as (
            select _whole, min_by(source_file, _rid) as source_file, min_by(source_row, _rid) as source_row,
                if(min(_subject) = max(_subject), min(_subject), null) as local_id,
                list_sort(list(distinct source_file)) as files, list(source_row order by _rid)[2:] as later
            from again_{name} semi join differ using (_whole) group by _whole
        )
        select _whole, local_id, source_file, source_row,
            if(len(files) > 1, array_to_string(list_filter(files, lambda f: f <> source_file), ', '),
                if(len(later) > 1, 'rows ', 'row ') || array_to_string(later, ', ')) as others
        from places
    """)
    return f"""
        case when {whole} in (select _whole from contents_{name}) then 'two_contents'
            when _rid in (
                select _rid from again_{name} qualify row_number() over (partition by _whole, _row order by _rid) > 1
            ) then 'sent_twice' end
    """
