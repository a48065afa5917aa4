"""What differs between two states of a centre: records added, changed (field by field), vanished, removed, returned."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.mapping import Centre
from pipelines.staging import PARQUET
from pipelines.staging_fields import quote
from pipelines.staging_findings import fillable, record_sql
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb

CHANGE = (
    "centre", "delivery_id", "table_name", "local_id", "usubjid", "record_key", "change", "field", "value_before",
    "value_after", "source_file", "source_row",
)  # fmt: skip


def write_changes(
    con: "duckdb.DuckDBPyConnection", centre: Centre, delivery_id: str, tables: Sequence[str], target: Path
) -> None:
    """Write one row per record that came or went, and per field of a record that changed.

    Reads what `history` made: `was_`, `is_`, `diff_` and `gone_<table>`. Values are those staged, as text. A record
    that went has its place in the delivery that held it last, every other one in the new delivery.
    """
    selects = [select for table in tables for select in (_came(table), _went(table), _changed(table))]
    head = f"{lit(centre.name)} as centre, {lit(delivery_id)} as delivery_id"
    rows = " union all by name ".join(selects)
    records = " ".join(f"when {lit(table)} then {record_sql(centre, table)}" for table in tables)
    con.execute(f"""
        copy (
            select {", ".join(CHANGE)} from (
                select {head}, *, case table_name {records} end as record_key from ({rows})
            ) order by all
        ) to {lit(str(target))} {PARQUET}
    """)


def _record(table: str, change: str, alias: str) -> str:
    """The cells that tell which record it is; a table of another shape has others, which stay NULL."""
    names = ", ".join(f"{alias}.{quote(c)}" for c in fillable(table) if c not in ("local_id", "usubjid"))
    place = ", ".join(f"{alias}.{c}" for c in ("local_id", "usubjid", "source_file", "source_row"))
    return f"{lit(table)} as table_name, {change} as change, {place}" + (f", {names}" if names else "")


def _came(table: str) -> str:
    change = "case when d.was_row is null then 'added' else 'returned' end"
    return f"""
        select {_record(table, change, "i")}, null as field, null as value_before, null as value_after
        from diff_{table} d join is_{table} i on i.file_row_number = d.is_row
        where d.was_row is null or d._since is not null
    """


def _went(table: str) -> str:
    change = "case when g.is_removed then 'removed' else 'vanished' end"
    return f"""
        select {_record(table, change, "g")}, null as field, null as value_before, null as value_after
        from gone_{table} g where g.is_new or g.is_removed
    """


def _changed(table: str) -> str:
    columns = [c for c in fillable(table) if c not in ("local_id", "usubjid")]
    pairs = ", ".join(
        f"{{'field': {lit(c)}, 'was': w.{quote(c)}::varchar, 'now': i.{quote(c)}::varchar}}" for c in columns
    )
    return f"""
        select {_record(table, "'changed'", "i")}, f.field, f.was as value_before, f.now as value_after
        from diff_{table} d
        join was_{table} w on w.file_row_number = d.was_row
        join is_{table} i on i.file_row_number = d.is_row
        cross join lateral (select unnest([{pairs}]) as f)
        where f.was is distinct from f.now
    """
