"""All rules in one pass of DuckDB that keeps every failing row."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pipelines.errors import MappingError
from pipelines.rules.load import Rule, counted
from pipelines.rules.statements import FAILURES, MACROS, by_subject, checked, failing, groups
from pipelines.study import sql_literal as lit
from pipelines.warehouse import with_room

if TYPE_CHECKING:
    import duckdb

LOG = logging.getLogger(__name__)


def run_rules(
    con: "duckdb.DuckDBPyConnection",
    rules: Sequence[Rule],
    languages: Mapping[str, str] | None = None,
    shares: Sequence[str] = ("",),
    show: Callable[[str], None] = lambda where: None,
) -> None:
    """Make `validated.rule_failures` (one row per rule, record and field that fails or cannot be judged) and
    `validated.rule_counts` (one row per rule and centre).

    Reads `tables_read(rules)` by their plain names. `languages`: centre -> language of its `local_` texts; English for
    a centre that is not named. `shares`: conditions that divide the subjects, to bound the memory; `show` lets the
    names resolve to the rows of one of them, or to all for an empty one. Nothing checked is `not_applicable`, and so is
    a rule that a later version of the protocol asks; a rule that has a `problem` or that DuckDB cannot run has status
    `error`, leaves no failing rows, and the others go on. Raises `MappingError` where staging raised a rule that no
    file describes. Source: QUALITY, Rules.
    """
    rules = counted(rules)
    columns = ", ".join(f"{c} varchar" for c in FAILURES)
    con.execute(f"create schema if not exists validated; {MACROS}")
    con.execute(f"create or replace table validated.rule_failures ({columns})")
    con.execute("create or replace temp table rule_checked (rule_id varchar, centre varchar, n_checked bigint)")
    _refuse_unknown_findings(con, rules)
    rules = _not_withdrawn(con, rules)
    able = [r for r in rules if not r.problem and not r.not_yet]
    broken = {r.rule_id: r.problem for r in rules if r.problem}
    broken |= _judge(con, able, languages or {}, shares, show)
    for rule_id, problem in sorted(broken.items()):
        LOG.warning("rule %s cannot run: %s", rule_id, problem)
    _ask_once(con, able)
    _count(con, rules, broken)


def _not_withdrawn(con: "duckdb.DuckDBPyConnection", rules: Sequence[Rule]) -> Sequence[Rule]:
    """Without the rules that are asked no more on the day of the newest delivery (only then is that day looked up)."""
    if not any(r.withdrawn for r in rules):
        return rules
    ((day,),) = con.execute("select max(delivery_dt)::varchar from staged.deliveries").fetchall()
    return [r for r in rules if r.withdrawn is None or (day is not None and day < r.withdrawn)]


def _judge(
    con: "duckdb.DuckDBPyConnection",
    rules: Sequence[Rule],
    languages: Mapping[str, str],
    shares: Sequence[str],
    show: Callable[[str], None],
) -> dict[str, str]:
    """Fill both tables, share by share what is judged by subject. Returns the rules that are broken, and why."""
    broken: dict[str, str] = {}
    passes = [("", groups(rules))]
    if len(shares) > 1:
        one_by_one = [group for group in groups(rules) if by_subject(group)]
        # who has no study code yet is nobody else's
        parts = [f"({shares[0]} or usubjid is null)", *shares[1:]]
        passes = [("", [g for g in groups(rules) if not by_subject(g)]), *((part, one_by_one) for part in parts)]
    for where, some in passes:
        show(where)
        for group in some:
            broken |= _judge_group(con, [r for r in group if r.rule_id not in broken], languages)
    show("")
    for rule_id in broken:  # what it left of earlier shares
        con.execute("delete from validated.rule_failures where rule_id = ?", [rule_id])
        con.execute("delete from rule_checked where rule_id = ?", [rule_id])
    return broken


def _judge_group(
    con: "duckdb.DuckDBPyConnection", group: Sequence[Rule], languages: Mapping[str, str]
) -> dict[str, str]:
    """Fill both tables for a group; where that fails, rule by rule. Returns the rules that are broken, and why."""
    import duckdb

    if not group:
        return {}
    try:
        _judge_together(con, group, languages)
        return {}
    except duckdb.Error:
        pass  # one of them is broken; the others of the group are not
    broken = {}
    for rule in group:
        try:
            _judge_together(con, [rule], languages)
        except duckdb.Error as error:
            # a conversion error quotes the row's value, which belongs in no log
            spoken = isinstance(error, duckdb.BinderException | duckdb.CatalogException | duckdb.ParserException)
            said = str(error).splitlines()[0] if spoken else type(error).__name__
            broken[rule.rule_id] = f"{rule.file}: {said}"
    return broken


def _judge_together(con: "duckdb.DuckDBPyConnection", group: Sequence[Rule], languages: Mapping[str, str]) -> None:
    """All or nothing: what a broken rule would leave behind is not written."""
    with_room(con, f"create or replace temp table seen as {checked(group)}")
    with_room(con, f"insert into validated.rule_failures {failing(group, languages)}")
    con.execute("insert into rule_checked from seen")


def _ask_once(con: "duckdb.DuckDBPyConnection", rules: Iterable[Rule]) -> None:
    """Take back what follows from another question: one query per root cause. What excludes a subject stays.

    A value that could not be read is not asked for again as missing, and a rule that compares with what we derive waits
    until nothing is open of what the derivation rests on (`waits_for`). Source: QUALITY, Findings.
    """
    con.execute("""
        delete from validated.rule_failures
        where severity <> 'exclude' and table_name not like 'staged.%' and rowid in (
            select f.rowid from validated.rule_failures f
            semi join staged.findings s on s.centre = f.centre and s.source_file = f.source_file
                and s.source_row = f.source_row and s.staged_field = f.field
        )
    """)
    waits = ", ".join(f"({lit(r.rule_id)}, {lit(cause)})" for r in rules for cause in r.waits_for)
    if waits:
        con.execute(f"""
            delete from validated.rule_failures where severity <> 'exclude' and rowid in (
                with waiting(rule_id, cause) as (values {waits}),
                raised as (
                    -- a note asks nothing, so that only a rule which names it waits for it
                    select distinct usubjid,
                        unnest([rule_id, case when severity <> 'note' then split_part(table_name, '.', 2) end]) as cause
                    from validated.rule_failures where usubjid is not null
                )
                select f.rowid from validated.rule_failures f
                join waiting w on w.rule_id = f.rule_id
                join raised r on r.usubjid = f.usubjid and r.cause = w.cause
            )
        """)


def _refuse_unknown_findings(con: "duckdb.DuckDBPyConnection", rules: Iterable[Rule]) -> None:
    """Every finding of staging needs a rule file, or it would be lost without a word."""
    known = [lit(r.rule_id) for r in rules if r.raised_by]
    if known:
        found = f"select distinct rule_id from staged.findings where rule_id not in ({', '.join(known)}) order by all"
        lost = [row[0] for row in con.execute(found).fetchall()]
        if lost:
            raise MappingError(f"Staging raises {', '.join(lost)}, which no file in expectations/ describes.")


def _count(con: "duckdb.DuckDBPyConnection", rules: Sequence[Rule], broken: Mapping[str, str]) -> None:
    """Make `validated.rule_counts` for every rule and every centre that sent anything."""
    rows = ", ".join(
        "({})".format(
            ", ".join(
                lit(v)
                for v in (
                    r.rule_id,
                    r.family,
                    r.title["en"],
                    r.severity,
                    r.table,
                    r.order,
                    i,
                    broken.get(r.rule_id, r.not_yet) or None,
                    r.rule_id in broken,
                )
            )
        )
        for i, r in enumerate(rules)
    )
    listed = (
        f"(values {rows})" if rules else "(select null, null, null, null, null, null, null, null, null where false)"
    )
    con.execute(f"""
        create or replace table validated.rule_counts as
        with rule(rule_id, family, title, severity, table_name, rule_order, rank, problem, is_broken) as (
            from {listed}
        ),
        asked as (select distinct centre from staged.received union select centre from rule_checked),
        checked as (select rule_id, centre, sum(n_checked)::bigint as n_checked from rule_checked group by all),
        failed as (select rule_id, centre, count(*) as n_failed from validated.rule_failures group by all)
        select
            r.rule_id, r.family, r.title, r.severity, r.table_name, r.rule_order::integer as rule_order, a.centre,
            case when r.problem is not null then 0 else coalesce(c.n_checked, 0) end as n_checked,
            coalesce(f.n_failed, 0) as n_failed,
            case when r.is_broken then 'error' when coalesce(f.n_failed, 0) > 0 then 'fail'
                when coalesce(c.n_checked, 0) > 0 then 'pass' else 'not_applicable' end as status,
            r.problem::varchar as problem
        from rule r
        cross join asked a
        left join checked c on c.rule_id = r.rule_id and c.centre = a.centre
        left join failed f on f.rule_id = r.rule_id and f.centre = a.centre
        order by r.rank, a.centre
    """)
