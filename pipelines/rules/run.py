"""All rules in one pass of DuckDB that keeps every failing row."""

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pipelines.errors import MappingError
from pipelines.rules.load import PLACEHOLDER, Rule, counted, table_columns
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb

LOG = logging.getLogger(__name__)
FAILURES = (
    "rule_id", "table_name", "centre", "usubjid", "record_key", "field", "value_received", "expected", "outcome",
    "message", "suggestion", "severity", "category", "source_file", "source_row", "delivery_id",
)  # fmt: skip
MACROS = r"""
    -- a number as a person writes it, without the zeros of its scale
    create or replace temp macro shown(v) as
        case when typeof(v) like 'DECIMAL%' then rtrim(rtrim(v::varchar, '0'), '.') else v::varchar end;
    -- the day that a delivery's name carries
    create or replace temp macro delivery_day(id) as
        try_cast(nullif(regexp_extract(id, '\d{4}-\d{2}-\d{2}'), '') as date);
"""


def run_rules(con: "duckdb.DuckDBPyConnection", rules: list[Rule]) -> None:
    """Make `validated.rule_failures` (one row per rule, record and field that fails or cannot be judged) and
    `validated.rule_counts` (one row per rule and centre).

    Reads `tables_read(rules)` by their plain names. Nothing checked is `not_applicable`; a rule that DuckDB cannot run
    has status `error`, leaves no failing rows, and the others go on. Raises `MappingError` where staging raised a rule
    that no file describes. Source: QUALITY, Rules.
    """
    rules = counted(rules)
    columns = ", ".join(f"{c} varchar" for c in FAILURES)
    con.execute(f"create schema if not exists validated; {MACROS}")
    con.execute(f"create or replace table validated.rule_failures ({columns})")
    con.execute("create or replace temp table rule_checked (rule_id varchar, centre varchar, n_checked bigint)")
    _refuse_unknown_findings(con, rules)
    broken = _insert(con, "validated.rule_failures", {r.rule_id: failing(r) for r in rules})
    broken |= _insert(con, "rule_checked", {r.rule_id: checked(r) for r in rules})
    if broken:
        con.execute(f"delete from validated.rule_failures where rule_id in ({', '.join(map(lit, sorted(broken)))})")
    _ask_once(con, rules)
    _count(con, rules, broken)


def failing(rule: Rule) -> str:
    """The select that yields every failing row of one rule, columns as `FAILURES`."""
    if rule.raised_by:
        place = "t.usubjid, t.record_key, t.field, t.value_received, t.expected, 'fail'"
        table, centre, provenance = (
            "'staged.' || t.table_name",
            "t.centre",
            ("source_file", "source_row", "delivery_id"),
        )
        where = f"t.rule_id = {lit(rule.rule_id)}"
        ending = ", ".join(f"t.{c}" for c in provenance)
    else:
        columns = table_columns(rule.table)
        outcome = f"case when {rule.unknown_when} then 'unknown' else 'fail' end"
        key = ", ".join(f"coalesce(({k})::varchar, '')" for k in rule.record_key)
        subject = "t.usubjid" if "usubjid" in columns else "null"
        place = f"{subject}, concat_ws('|', {key}), {lit(rule.fields[0])}, {_value(rule)}, {_expected(rule)}, {outcome}"
        table, centre = lit(rule.table), rule.centre
        where = f"({rule.applies_when}) and (({rule.unknown_when}) or ({rule.fails_when}))"
        ending = ", ".join(
            "coalesce({})".format(
                ", ".join([f"{a}.{c}" for a in rule.provenance if a != "t" or c in columns] + ["null"])
            )
            for c in FAILURES[-3:]
        )
    words = ", ".join(lit(w) for w in (rule.suggestion, rule.severity, rule.category))
    return (
        f"select {lit(rule.rule_id)}, {table}, {centre}, {place}, {_message(rule)}, {words}, {ending} "
        f"from {_source(rule)} where {where}"
    )


def checked(rule: Rule) -> str:
    """The select that yields how many rows a rule looked at in each centre."""
    if rule.raised_by:
        return f"select {lit(rule.rule_id)}, centre, sum(n_rows) from staged.received group by centre"
    centre = f"select {lit(rule.rule_id)}, {rule.centre}, count(*)"
    return f"{centre} from {_source(rule)} where {rule.applies_when} group by all"


def _source(rule: Rule) -> str:
    return f"{rule.table} t {rule.joins.strip()} cross join study.protocol p"


def _value(rule: Rule) -> str:
    return "t.value_received" if rule.raised_by else f"shown({rule.value or f't.{rule.fields[0]}'})"


def _expected(rule: Rule) -> str:
    return "t.expected" if rule.raised_by else f"({rule.expected or 'null'})::varchar"


def _message(rule: Rule) -> str:
    """The message with its placeholders filled in by SQL; an empty value reads `not given`."""
    special = {"value": _value(rule), "expected": _expected(rule)}
    parts = []
    for i, text in enumerate(PLACEHOLDER.split(rule.message)):
        if text:
            parts.append(f"coalesce({special.get(text, f'shown(t.{text})')}, 'not given')" if i % 2 else lit(text))
    return " || ".join(parts)


def _insert(con: "duckdb.DuckDBPyConnection", table: str, selects: Mapping[str, str]) -> set[str]:
    """Fill a table from all selects in one statement; if that fails, one by one. Returns the rules that are broken."""
    import duckdb

    if not selects:
        return set()
    try:
        con.execute(f"insert into {table} " + " union all ".join(f"({s})" for s in selects.values()))
    except duckdb.Error:
        broken = set()
        for rule_id, select in selects.items():
            try:
                con.execute(f"insert into {table} {select}")
            except duckdb.Error as error:
                # a conversion error quotes the row's value, which belongs in no log
                spoken = isinstance(error, duckdb.BinderException | duckdb.CatalogException | duckdb.ParserException)
                LOG.warning("rule %s cannot run: %s", rule_id, error if spoken else type(error).__name__)
                broken.add(rule_id)
        return broken
    return set()


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
                    select distinct usubjid, unnest([rule_id, split_part(table_name, '.', 2)]) as cause
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


def _count(con: "duckdb.DuckDBPyConnection", rules: list[Rule], broken: set[str]) -> None:
    """Make `validated.rule_counts` for every rule and every centre that sent anything."""
    rows = ", ".join(
        "({})".format(
            ", ".join(
                lit(v) for v in (r.rule_id, r.family, r.title, r.severity, r.table, r.order, i, r.rule_id in broken)
            )
        )
        for i, r in enumerate(rules)
    )
    listed = f"(values {rows})" if rules else "(select null, null, null, null, null, null, null, false where false)"
    con.execute(f"""
        create or replace table validated.rule_counts as
        with rule(rule_id, family, title, severity, table_name, rule_order, rank, is_broken) as (from {listed}),
        asked as (select distinct centre from staged.received union select centre from rule_checked),
        failed as (select rule_id, centre, count(*) as n_failed from validated.rule_failures group by all)
        select
            r.rule_id, r.family, r.title, r.severity, r.table_name, r.rule_order::integer as rule_order, a.centre,
            case when is_broken then 0 else coalesce(c.n_checked, 0) end as n_checked,
            coalesce(f.n_failed, 0) as n_failed,
            case when is_broken then 'error' when coalesce(f.n_failed, 0) > 0 then 'fail'
                when coalesce(c.n_checked, 0) > 0 then 'pass' else 'not_applicable' end as status
        from rule r
        cross join asked a
        left join rule_checked c on c.rule_id = r.rule_id and c.centre = a.centre
        left join failed f on f.rule_id = r.rule_id and f.centre = a.centre
        order by r.rank, a.centre
    """)
