"""The way to every report: all centres at a glance."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import study
from pipelines.reports.pages import ASKED, RULES, note_of, page, reading, rows_of
from pipelines.warehouse import Home

if TYPE_CHECKING:
    import duckdb


def write_index(con: "duckdb.DuckDBPyConnection", home: Home) -> list[Path]:
    """Write `reports/index.html`: all centres at a glance, the rules by failures, links to every report."""
    with reading(con):
        centres = rows_of(con, f"""
            with received as (
                select centre, max(delivery_id) as delivery, sum(n_rows)::bigint as n
                from slice.main.staged_received group by centre
            ),
            dropped as (select centre, count(*) as n from slice.main.staged_dropped group by 1),
            known as (select centre, count(distinct usubjid) as n from harmonised.links group by 1),
            asked as (select centre, count(*) as n from validated.findings where {ASKED} group by 1)
            select
                c.centre, c.title, r.delivery, coalesce(r.n, 0) as n_received, coalesce(d.n, 0) as n_dropped,
                coalesce(k.n, 0) as n_subjects, coalesce(a.n, 0) as n_queries
            from study.centres c
            left join received r using (centre)
            left join dropped d using (centre)
            left join known k using (centre)
            left join asked a using (centre)
            order by c.centre_kind, c.centre
        """)  # fmt: skip
        values = {"title": study.protocol()["study_title"]["value"], "note": note_of(home), "centres": centres}
        return [page("index.html", home.reports / "index.html", **values, rules=con.execute(RULES).fetchall())]
