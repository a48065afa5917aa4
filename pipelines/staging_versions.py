"""Which of several rows that are one record, or one file, holds: the current version, the one content; or none."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipelines.mapping import Source
from pipelines.staging_fields import quote
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb

NUMBER, TIME = "try_cast({} as decimal(38,6))", "try_cast({} as timestamptz)"
CONTESTED = ("contents", "rivals", "lacking")  # what is asked of a source, `<this>_<source>`; columns as of PLACES
NO_CONTENTS = "select '' as _whole, '' as local_id, '' as source_file, '' as source_row, '' as others where false"
# of the rows in `told` one per whole: the subject of all, the place of the first, and where the others are
PLACES = """,
        places as (
            select _whole, min_by(source_file, _rid) as source_file, min_by(source_row, _rid) as source_row,
                if(min(_subject) = max(_subject), min(_subject), null) as local_id,
                list_sort(list(distinct source_file)) as files, list(source_row order by _rid)[2:] as later
            from told group by _whole
        )
        select _whole, local_id, source_file, source_row,
            if(len(files) > 1, array_to_string(list_filter(files, lambda f: f <> source_file), ', '),
                if(len(later) > 1, 'rows ', 'row ') || array_to_string(later, ', ')) as others
        from places
"""


def superseded(
    con: "duckdb.DuckDBPyConnection", name: str, source: Source, query: str, named: Sequence[str], subject: str
) -> str:
    """SQL that gives `superseded` to rows that are not the current version of their record.

    Where none can be told to be it, because versions that differ in content are alike, or neither all numbers nor all
    times, they are `two_contents`. Where none has the value that the current row has, all are `no_current_row`. Makes
    `rivals_<name>` and `lacking_<name>`, a row per such record, as `twins` makes `contents_<name>`.
    """
    by, take = ", ".join(map(quote, source.current_row["by"])), source.current_row["take"]
    orders = {quote(c): "desc" if way == "max" else "asc" for c, way in take.items() if way in ("max", "min")}
    wrong = " or ".join(f"{quote(c)} is distinct from {lit(v)}" for c, v in take.items() if quote(c) not in orders)
    wrong = wrong or "false"
    whole = ", ".join(f"coalesce({quote(c)}, '')" for c in source.current_row["by"])
    about = f"_rid, _reason, source_file, source_row, concat_ws('|', {whole}) as _whole, {quote(subject)} as _subject"
    candidate = f"from ({query}) where not ({wrong})"
    con.execute(f"""
        create temp table lacks_{name} as
        select {about} from ({query})
        where _reason is null and ({wrong}) and hash({by}) not in (select hash({by}) {candidate});

        create temp table lacking_{name} as with told as (from lacks_{name}) {PLACES};

        create temp table versions_{name} as {_versions(orders, named, by, about, candidate)}
    """)
    con.execute(f"""
        create temp table rivals_{name} as with told as (from versions_{name} where _why = 'two_contents') {PLACES}
    """)
    return f"""
        case when _rid in (select _rid from lacks_{name}) then 'no_current_row'
            when _rid in (select _rid from versions_{name} where _why = 'two_contents') then 'two_contents'
            when {wrong} or _rid in (select _rid from versions_{name} where _why = 'superseded') then 'superseded' end
    """


def _versions(orders: Mapping[str, str], named: Sequence[str], by: str, about: str, candidate: str) -> str:
    """The rows of records that have several versions, and `_why` those are dropped that are; a version that is dropped
    already supersedes those before it, too."""
    if not orders:
        return f"select {about}, null::varchar as _why {candidate} limit 0"
    kinds = "".join(
        f" || case when {NUMBER.format(c)} is not null then 'n' when {TIME.format(c)} is not null then 't' else '?' end"
        for c in orders
    )
    ranks = ", ".join(f"{value.format(c)} {way} nulls last" for c, way in orders.items() for value in (NUMBER, TIME))
    content = ", ".join(quote(c) for c in named if quote(c) not in orders)
    return f"""
        with candidate as ({candidate}),
        -- few records have versions: only those are ordered; a record without an id is no version of another
        several as (
            select hash({by}) as h from candidate where coalesce({by}) is not null group by h having count(*) > 1
        ),
        ranked as (
            select {about}, hash({content}) as _content, ''{kinds} as _kinds,
                rank() over (partition by {by} order by {ranks}) as _rank,
                row_number() over (partition by {by} order by {ranks}, _rid) as _order
            from candidate where hash({by}) in (from several)
        ),
        told as (
            select _whole, min(_kinds) <> max(_kinds) or contains(min(_kinds), '?') as is_open
            from ranked group by _whole
        ),
        differ as (
            select _whole from ranked join told using (_whole) where is_open or _rank = 1
            group by _whole having count(distinct _content) > 1 and count(*) > count(_reason)
        )
        select r.* exclude (_content, _kinds, _rank, _order),
            case when d._whole is not null and (is_open or _rank = 1) then 'two_contents'
                when _order > 1 then 'superseded' end as _why
        from ranked r join told using (_whole) left join differ d using (_whole)
    """


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
        told as (from again_{name} semi join differ using (_whole))
        {PLACES}
    """)
    return f"""
        case when {whole} in (select _whole from contents_{name}) then 'two_contents'
            when _rid in (
                select _rid from again_{name} qualify row_number() over (partition by _whole, _row order by _rid) > 1
            ) then 'sent_twice' end
    """
