"""All rules in one pass of DuckDB that keeps every failing row."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.errors import MappingError
from pipelines.rules.again import EVERYBODY, JUDGED, Reach, by_whom, can_go_on, stays
from pipelines.rules.causes import ask_once
from pipelines.rules.counts import checked, passes
from pipelines.rules.load import Rule, counted
from pipelines.rules.statements import FAILURES, MACROS, by_subject, failing, groups, reasons_macros
from pipelines.study import sql_literal as lit
from pipelines.warehouse import with_room

if TYPE_CHECKING:
    import duckdb

LOG = logging.getLogger(__name__)


def run_rules(
    con: "duckdb.DuckDBPyConnection",
    rules: Sequence[Rule],
    languages: Mapping[str, str] | None = None,
    reach: Reach = EVERYBODY,
) -> None:
    """Make `validated.rule_failures` (one row per rule, record and field that fails or cannot be judged) and
    `validated.rule_counts` (one row per rule and centre).

    Reads `tables_read(rules)` by their plain names. `languages`: centre -> language of its `local_` texts; English for
    a centre that is not named. Nothing checked is `not_applicable`, and so is a rule that a later version of the
    protocol asks; a rule that has a `problem` or that DuckDB cannot run has status `error`, leaves no failing rows, and
    the others go on. Raises `MappingError` where staging raised a rule that no file describes. Source: QUALITY, Rules.
    """
    rules = counted(rules)
    con.execute(f"create schema if not exists validated; {MACROS} {reasons_macros()}")
    _refuse_unknown_findings(con, rules)
    rules = _not_withdrawn(con, rules)
    able = [r for r in rules if not r.problem and not r.not_yet]
    broken = {r.rule_id: r.problem for r in rules if r.problem}
    if reach.whom and not can_go_on(con, able):
        reach = replace(reach, whom=None)
    anew = _judge(con, able, languages or {}, reach)
    if reach.whom and anew:
        # others waited for what can be judged no more
        anew = _judge(con, able, languages or {}, replace(reach, whom=None))
    broken |= anew
    for rule_id, problem in sorted(broken.items()):
        LOG.warning("rule %s cannot run: %s", rule_id, problem)
    ask_once(con, able)
    _count(con, rules, broken)


def _not_withdrawn(con: "duckdb.DuckDBPyConnection", rules: Sequence[Rule]) -> Sequence[Rule]:
    """Without the rules that are asked no more on the day of the newest delivery (only then is that day looked up)."""
    if not any(r.withdrawn for r in rules):
        return rules
    ((day,),) = con.execute("select max(delivery_dt)::varchar from staged.deliveries").fetchall()
    return [r for r in rules if r.withdrawn is None or (day is not None and day < r.withdrawn)]


def _judge(
    con: "duckdb.DuckDBPyConnection", rules: Sequence[Rule], languages: Mapping[str, str], reach: Reach
) -> dict[str, str]:
    """Fill the rows that fail and `rule_checked`, share by share what is judged by subject. Returns the rules that are
    broken, and why."""
    con.execute(f"create or replace table validated.rule_failures ({', '.join(f'{c} varchar' for c in FAILURES)})")
    con.execute("create or replace temp table rule_checked (rule_id varchar, centre varchar, n_checked bigint)")
    broken: dict[str, str] = {}

    def each(where: str, made: Sequence[tuple[Rule, ...]], into: str, select: Callable[[Sequence[Rule]], str]) -> None:
        reach.show(where)
        for group in made:
            group = tuple(r for r in group if r.rule_id not in broken)
            broken.update(_all_or_one_by_one(group, lambda some: with_room(con, f"insert into {into} {select(some)}")))

    def judge(where: str, some: Iterable[Rule]) -> None:
        each(where, groups(some), "validated.rule_failures", lambda group: failing(group, languages))

    def count(where: str, some: Iterable[Rule]) -> None:
        each(where, passes(some), "rule_checked", checked)

    beside, own = ([r for r in rules if by_subject([r]) == is_own] for is_own in (False, True))
    judge("", beside)
    count("", beside)
    for subjects, some in by_whom(own, reach).items():
        reach.show("")
        if stays(con, some, beside, subjects):
            own = [r for r in own if r not in some]
            continue
        for share in _parts(reach.shares(JUDGED)):
            judge(f"{share or 'true'} and (usubjid is null or usubjid in (from {JUDGED}))", some)
    for share in _parts(reach.shares()):
        if not reach.whom:
            judge(share, own)
        count(share, own)
    reach.show("")
    for rule_id in broken:  # what it left of earlier shares
        con.execute("delete from validated.rule_failures where rule_id = ?", [rule_id])
        con.execute("delete from rule_checked where rule_id = ?", [rule_id])
    return broken


def _parts(shares: Sequence[str]) -> list[str]:
    """Who has no study code yet is nobody else's, and goes with the first."""
    return [f"({shares[0]} or usubjid is null)", *shares[1:]] if len(shares) > 1 else [*shares]


def _all_or_one_by_one(group: Sequence[Rule], do: Callable[[Sequence[Rule]], None]) -> dict[str, str]:
    """Do it for a group; where that fails, rule by rule. Returns the rules that are broken, and why."""
    import duckdb

    if not group:
        return {}
    try:
        do(group)
        return {}
    except duckdb.Error:
        pass  # one of them is broken; the others of the group are not
    broken = {}
    for rule in group:
        try:
            do([rule])
        except duckdb.Error as error:
            # a conversion error quotes the row's value, which belongs in no log
            spoken = isinstance(error, duckdb.BinderException | duckdb.CatalogException | duckdb.ParserException)
            said = str(error).splitlines()[0] if spoken else type(error).__name__
            broken[rule.rule_id] = f"{rule.file}: {said}"
    return broken


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
