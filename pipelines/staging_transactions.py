"""Which rows of a transactional export hold after its changes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.mapping import Source
from pipelines.staging_fields import quote
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb

INSERTS, UPDATES = ("", "Insert"), ("Update", "Upsert")
REMOVED, SUPERSEDED, CONTEXT, UNKNOWN = "removed_by_the_centre", "superseded", "context_only", "unknown_transaction"

# removals, and updates of records that are not there; a removal above an item group is known where any source knows it
CHANGED = """
    create temp table if not exists changed (
        source varchar, field varchar, kind varchar, is_known boolean, whole varchar, local_id varchar,
        delivery_id varchar, source_file varchar, source_row varchar)
"""


def transacted(
    con: "duckdb.DuckDBPyConnection", name: str, source: Source, path: str, landed: Sequence[str],
    origin: Sequence[str], subject: str = "",
) -> str:  # fmt: skip
    """SQL of a landed source's rows after its transactions, with `file_row_number` and `_why` of those dropped.

    `source.transactions`: `by`, the columns that name a record from its subject down, `type`, and `nulls`, a column
    that lists the columns stated to be blank, with spaces between. Rows are taken in the order in which they landed. An
    update changes what it states and leaves the rest; the row that holds then is the last that touched the record. A
    removal whose last columns of `by` are blank removes every record below. A record that is inserted twice stays
    twice: that is for the rule about duplicates. Works on the texts as received, because a word that means missing is
    stated, too. Fills `changed`; `subject` is the column of the centre's own id. Source: CDISC ODM 1.3.2, transaction
    types.
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
    mine = f"nullif(trim({quote(source.raw(subject))}), '')" if source.raw(subject) in there else "null"
    con.execute(CHANGED)
    con.execute(f"""
        insert into changed
        select {lit(name)}, {lit(changed)}, kind, is_known, concat_ws('|', {", ".join(keys)}), {mine}, {
        ", ".join(c for c in origin if c != "file_sha256")
    }
        from {reads} join ({_changed(name, reads, kind, keys)}) on _rid = file_row_number
    """)
    con.execute(f"create temp table told_{name} as {_told(name, reads, keys, there, nulls, origin)}")
    kept = f"{plain} where file_row_number not in (select _rid from touched_{name})"
    return f"{kept} union all by name from told_{name}"


def _listed(words: Sequence[str]) -> str:
    return f"({', '.join(map(lit, words))})"


def _steps(reads: str, kind: str, keys: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names of the keys; the rows with their keys, and the removals with how many of them they name."""
    names = [f"k{i}" for i in range(len(keys))]
    cells = ", ".join(f"{sql} as {k}" for k, sql in zip(names, keys, strict=True))
    depth = f"greatest(0, {', '.join(f'case when {k} is not null then {i + 1} end' for i, k in enumerate(names))})"
    return names, [
        f"told as not materialized (select file_row_number as _rid, {kind} as kind, {cells} from {reads})",
        f"removal as (select *, {depth} as depth from told where kind = 'Remove')",
    ]


def _changed(name: str, reads: str, kind: str, keys: Sequence[str]) -> str:
    """All removals, and whether a record that came before them is meant; updates of which no record came before."""
    names, steps = _steps(reads, kind, keys)
    known = " union all ".join(
        f"select r._rid from told join removal r on r.depth = {i + 1} and "
        + " and ".join(f"told.{k} is not distinct from r.{k}" for k in names[: i + 1])
        + " where told.kind not in ('Remove', 'Context') and told._rid < r._rid"
        for i in range(len(names))
    )
    return f"""
        with {", ".join(steps)}
        select _rid, kind, _rid in ({known}) as is_known from removal
        union all
        select _rid, kind, false from (
            select _rid, kind from told join touched_{name} using (_rid) where _why is null
            qualify row_number() over (partition by {", ".join(names)} order by _rid) = 1
        ) where kind = 'Update'
    """


def _touched(reads: str, kind: str, keys: Sequence[str]) -> str:
    """Rows that do not stay as they are: `_rid`, and `_why` of those that are dropped."""
    names, steps = _steps(reads, kind, keys)
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
