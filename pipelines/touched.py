"""Whose rows are made again when centres send something new: all that carry the delivery they came in, and of the rest
only those of subjects of whom something else is different.

An export that is sent again holds mostly what the one before held. Two lists in `slice.main`, one inside the other:
`touched`, every subject that the centres know or knew, and `changed`, those of whom some value changed. A third names
what `moved`, the staged tables that they send or sent; rows of the others tell the deliveries that they told before.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pipelines import study
from pipelines.warehouse import count, exists, with_room

if TYPE_CHECKING:
    import duckdb

TOUCHED, CHANGED, MOVED = "slice.main.touched", "slice.main.changed", "slice.main.moved"
DELIVERY = ("delivery_id", "file_sha256")  # differ in every row that is sent again
LINKS, COUNTS = "harmonised.links", "validated.rule_counts"


def prepare(con: "duckdb.DuckDBPyConnection") -> None:
    """Three empty lists."""
    for marked, column in ((TOUCHED, "usubjid"), (CHANGED, "usubjid"), (MOVED, "table_name")):
        con.execute(f"create or replace table {marked} ({column} varchar)")


def touch(con: "duckdb.DuckDBPyConnection", centres: Iterable[str]) -> None:
    """Mark every subject that these centres know or knew, and the tables that they send or sent."""
    names = ", ".join(study.sql_literal(c) for c in centres) or "null"
    before = f"union select usubjid from store.{LINKS} where centre in ({names})" if exists(con, LINKS) else ""
    _add(con, TOUCHED, f"select usubjid from slice.main.staged_links where centre in ({names}) {before}")
    for name in study.staged_tables():
        places = [f"slice.main.staged_{name}"] + [f"store.harmonised.{name}"] * exists(con, f"harmonised.{name}")
        sent = " or ".join(f"exists (from {place} where centre in ({names}))" for place in places)
        _add(con, MOVED, f"select 'staged.{name}' where {sent}")


def tells(table: study.Table) -> bool:
    """Whether the rows of a table tell in which delivery they came."""
    return any(c.name in DELIVERY for c in table.columns)


def whom(con: "duckdb.DuckDBPyConnection", names: Iterable[str], read: Mapping[str, Iterable[str]]) -> str:
    """The list of the subjects whose rows in some tables are replaced: all whom the centres know where one of these
    tables tells a delivery that they sent anew, else those of whom something changed.

    `read`: every table that is made, after those it reads, with their full names.
    """
    moved = {name for (name,) in con.execute(f"from {MOVED}").fetchall()}
    for made, deps in read.items():
        # about the rows of all others: findings, what was received
        technical = any(d.startswith("staged.") and d[7:] not in study.staged_tables() for d in deps)
        if tells(study.tables()[made]) and (technical or not moved.isdisjoint(deps)):
            moved.add(made)
    return CHANGED if moved.isdisjoint(names) else TOUCHED


def note(con: "duckdb.DuckDBPyConnection", full_name: str, made: str, where: str = "true") -> None:
    """Mark whose rows in `made` differ from the stored ones (there: `where`) in more than the delivery they came in."""
    if full_name == COUNTS:
        # a rule that can no longer be judged, or can again, concerns everybody
        broken = "select distinct rule_id from {} where status = 'error'"
        one, other = broken.format(f"store.{COUNTS}"), broken.format(made)
        different = f"""select usubjid from store.{LINKS}
            where exists (({one} except {other}) union all ({other} except {one}))"""
    else:
        values = ", ".join(f'"{c.name}"' for c in study.tables()[full_name].columns if c.name not in DELIVERY)
        # by a number of 64 bits, for which texts of however many rows need not lie in memory: that one row is taken for
        # another of the same subject happens once in ten to the nineteenth
        different = f"""select usubjid from (
                select usubjid, hash({values}) as row_hash, 1 as n from store.{full_name} where {where}
                union all
                select usubjid, hash({values}), -1 from {made}
            ) where usubjid is not null group by usubjid, row_hash having sum(n) <> 0"""
    with_room(con, f"create or replace temp table different as {different}")
    for marked in (CHANGED, TOUCHED):
        _add(con, marked, "from different")
    con.execute("drop table different")


def anybody(con: "duckdb.DuckDBPyConnection") -> bool:
    """Whether anything changed of any subject."""
    return count(con, CHANGED) > 0


def _add(con: "duckdb.DuckDBPyConnection", marked: str, subjects: str) -> None:
    con.execute(f"insert into {marked} ({subjects}) except from {marked}")
