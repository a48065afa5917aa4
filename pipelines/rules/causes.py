"""One query per root cause: what follows from another question is not asked."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.rules.load import Rule
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb


VANISHED = "structure/vanished_record"


def cause_of(rule: Rule) -> str:
    """The table by which others may wait for a rule; a note asks nothing: only a rule that names it waits for it."""
    return rule.table.split(".")[1] if rule.severity != "note" else ""


def ask_once(con: "duckdb.DuckDBPyConnection", rules: Sequence[Rule]) -> None:
    """Take back from `validated.rule_failures` what follows from another question. What excludes a subject stays.

    A value that could not be read is not asked for again as missing, and a rule that compares with what we derive waits
    until nothing is open of what the derivation rests on (`waits_for`). What is wrong with a record waits while
    its centre is asked whether it exists: its line is that of an earlier delivery. Source: QUALITY, Findings.
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
    if con.execute(f"select 1 from validated.rule_failures where rule_id = {lit(VANISHED)} limit 1").fetchall():
        con.execute(f"""
            delete from validated.rule_failures where severity <> 'exclude' and rowid in (
                select f.rowid from validated.rule_failures f
                join staged.deliveries d on d.centre = f.centre and d.delivery_id = f.delivery_id
                join validated.rule_failures v on v.rule_id = {lit(VANISHED)} and v.centre = f.centre
                    and v.source_file = f.source_file and v.source_row = f.source_row
                join staged.deliveries lacks on lacks.centre = v.centre and lacks.delivery_id = v.delivery_id
                where f.rule_id <> v.rule_id and d.epoch < lacks.epoch
            )
        """)
