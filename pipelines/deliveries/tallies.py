"""What each delivery of a centre held, in counts, so that a later report can set itself beside the earlier ones."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import study
from pipelines.staging import PARQUET
from pipelines.staging_findings import fillable
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    from pipelines.deliveries.ledger import Delivery

DELIVERY = "centre, delivery_id, delivery_dt, n_delivery"
TALLIES = {
    "field_counts": f"{DELIVERY}, table_name, field, n_rows, n_given, n_unread",
    "source_counts": f"{DELIVERY}, source, n_files, n_rows",
    "restaging_waits": f"{DELIVERY}, n_days, n_rows, n_reported",
}
SOURCES = """
    select source, count(*) as n_files, sum(n_rows)::bigint as n_rows from received
    where source is not null group by source order by source
"""
# a fraction was given, or a course is stated to have ended, as one total; what comes after the restaging is another's
WAITS = """
    with given as (
        select local_id, fxdt as dt from fractions where 0 < dose_gy
        union all
        select local_id, rtendt from courses where rtendt is not null
    ),
    restaged as (
        select local_id, target_id, min(rsdt) as rsdt, count(response) > 0 as is_reported from restagings
        where restaging_fl = 'Y' group by all
    ),
    waited as (
        select r.rsdt - coalesce(max(g.dt) filter (g.dt < r.rsdt), max(g.dt)) as n_days, r.is_reported
        from restaged r join given g using (local_id)
        where r.rsdt is not null
        group by r.local_id, r.target_id, r.rsdt, r.is_reported
    )
    select n_days::bigint as n_days, count(*) as n_rows, count(*) filter (is_reported) as n_reported
    from waited group by n_days order by n_days
"""


def write_tallies(delivery: "Delivery", before: Path | None, draft: Path) -> None:
    """Write the counts of the state in `draft`, below those of the deliveries before it.

    `field_counts`: one row per staged table and field: rows in which it is due (all, or by `endpoint` of its
    declaration), given, and received but not readable as agreed. `source_counts`: per source its files and rows.
    `restaging_waits`: per number of days from the last fraction before the restaging of a target to it, how many.
    They follow from the archive alone, as the staged rows do. Source: QUALITY, The report to a centre, 1, 2 and 4.
    """
    from contextlib import closing

    from pipelines import warehouse

    with closing(warehouse.memory()) as con:
        for table in (*study.staged_tables(), "findings", "received"):
            con.execute(f"create view {table} as from {_parquet(draft / f'{table}.parquet')}")
        for name, query in (
            ("field_counts", _fields(draft)),
            ("source_counts", SOURCES),
            ("restaging_waits", WAITS),
        ):
            target, old = draft / f"{name}.parquet", before / f"{name}.parquet" if before else None
            earlier = f"from {_parquet(old)} union all by name" if old and old.exists() else ""
            number = f"(select coalesce(max(n_delivery), 0) + 1 from {_parquet(old)})" if earlier else "1"
            head = f"{lit(delivery.centre)} as centre, {lit(delivery.delivery_id)} as delivery_id, "
            head += f"date {lit(delivery.extract_date)} as delivery_dt, {number}::bigint as n_delivery"
            con.execute(f"copy ({earlier} select {head}, * from ({query})) to {lit(str(target))} {PARQUET}")


def _parquet(path: Path | None) -> str:
    return f"read_parquet({lit(str(path))})"


def _fields(draft: Path) -> str:
    """Counts of all fields; those that are always due stand in the footers of the files, so that no row is read."""
    names = ", ".join(lit(str(draft / f"{table}.parquet")) for table in study.staged_tables())
    listed = ", ".join(f"({lit(t)}, {lit(c)})" for t in study.staged_tables() for c in fillable(t) if c != "local_id")
    due = {(t, c.name): c.endpoint for t in study.staged_tables() for c in study.staged_tables()[t].columns}
    conditional = ", ".join(f"({lit(t)}, {lit(c)})" for (t, c), when in due.items() if isinstance(when, str))
    counted = [
        f"select {lit(t)}, {lit(c)}, count(*), count({c}) from {t} where {when}"
        for (t, c), when in due.items()
        if isinstance(when, str)
    ]
    return f"""
        with known(table_name, field) as (values {listed}),
        always as (
            select
                parse_filename(file_name, true) as table_name, path_in_schema as field,
                sum(num_values)::bigint as n_rows, sum(num_values - stats_null_count)::bigint as n_given
            from parquet_metadata([{names}]) group by all
        ),
        due as (
            select a.* from always a semi join known using (table_name, field)
            where (table_name, field) not in ({conditional or "('', '')"})
            {"".join(f" union all {select}" for select in counted)}
        ),
        unread as (
            select table_name, staged_field as field, count(*)::bigint as n_unread
            from findings where staged_field is not null and value_received is not null group by all
        )
        select table_name, field, n_rows, n_given, coalesce(n_unread, 0) as n_unread
        from due left join unread using (table_name, field) where n_rows > 0 order by all
    """
