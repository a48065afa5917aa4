"""Whose rows the rules judge again when a centre sends something new, and what was found of the others."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from pipelines.rules.causes import cause_of
from pipelines.rules.load import Rule
from pipelines.rules.statements import FAILURES, by_subject, tables_named
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb

JUDGED = "slice.main.judged_again"


@dataclass(frozen=True)
class Reach:
    """Whose rows are judged.

    `show` lets the names resolve to the rows of subjects for whom a condition holds, or to all for an empty one;
    `shares` are conditions that divide the subjects of a table, or all, to bound the memory. `whom`: a list of
    subjects, by the tables that a rule reads. Only their rows are judged again; what was found of the others, in
    `store`, stays.
    """

    show: Callable[[str], None] = lambda where: None
    shares: Callable[..., Sequence[str]] = lambda known="": ("",)
    whom: Callable[[Iterable[str]], str] | None = None


EVERYBODY = Reach()


def can_go_on(con: "duckdb.DuckDBPyConnection", able: Sequence[Rule]) -> bool:
    """Whether the same rules could be judged before, and none that is not judged by subject waits for another one."""
    before = con.execute("select distinct rule_id from store.validated.rule_counts where problem is null").fetchall()
    beside = [r for r in able if not by_subject([r])]
    return {name for (name,) in before} == {r.rule_id for r in able} and not any(r.waits_for for r in beside)


def by_whom(rules: Sequence[Rule], reach: Reach) -> dict[str, list[Rule]]:
    """Rules by the list of those for whom they are judged again; none where everybody is judged.

    A rule that waits is judged again for whomever those are that wait for it: what was found of the others by it is
    kept without what it held back, though that is what they wait for.
    """
    if reach.whom is None:
        return {}
    whom, found = cache(reach.whom), dict[str, list[Rule]]()
    for rule in rules:
        waiting = {rule.rule_id: rule}
        new = [rule] if rule.waits_for else []
        while new:
            one = new.pop()
            later = [r for r in rules if r.rule_id not in waiting and {one.rule_id, cause_of(one)} & {*r.waits_for}]
            waiting |= {r.rule_id: r for r in later}
            new += later
        found.setdefault(whom(frozenset().union(*map(tables_named, waiting.values()))), []).append(rule)
    return found


def stays(con: "duckdb.DuckDBPyConnection", own: Sequence[Rule], beside: Sequence[Rule], subjects: str) -> bool:
    """List in `JUDGED` who is judged again by their `own` rules: `subjects`, and those of whom the rules beside found
    something else than before, for which others wait. What was found of all others stays; whether that is everybody, so
    that the counts stay, too."""
    of_beside, of_own = (", ".join(lit(r.rule_id) for r in some) or "null" for some in (beside, own))
    con.execute(f"""
        create or replace table {JUDGED} as
        with found as (
            select distinct usubjid, rule_id, table_name, 1 as n from validated.rule_failures
            where rule_id in ({of_beside})
            union all
            select distinct usubjid, rule_id, table_name, -1 from store.validated.rule_failures
            where rule_id in ({of_beside})
        )
        from {subjects}
        union
        select usubjid from found where usubjid is not null group by usubjid, rule_id, table_name having sum(n) <> 0
    """)
    con.execute(f"""
        insert into validated.rule_failures by name
        select {", ".join(FAILURES)} from store.validated.rule_failures anti join {JUDGED} using (usubjid)
        where rule_id in ({of_own}) and usubjid is not null
    """)
    uncoded = " or ".join(f"exists (from {table} where usubjid is null)" for table in sorted({r.table for r in own}))
    ((anybody,),) = con.execute(f"select exists (from {JUDGED}) or {uncoded}").fetchall()
    if not anybody:
        con.execute(f"""
            insert into rule_checked select rule_id, centre, n_checked from store.validated.rule_counts
            where rule_id in ({of_own}) and n_checked > 0
        """)
    return not anybody
