"""The pictures of a centre's report: its queries and its completeness over deliveries, and the data of each subject."""

from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.figures import inline
from pipelines.reports.pages import rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

DELIVERIES = 5  # columns that have room for a date
# what a subject's line is drawn from: kind of mark, staged table, first and last day
DATED = (
    ("drug", "exposures", "exstdt", "coalesce(exendt, exstdt)"),
    ("assessment", "measurements", "trdt", "null"),
    ("fraction", "fractions", "fxdt", "null"),
    ("fraction", "courses", "rtstdt", "null"),
    ("fraction", "courses", "rtendt", "null"),
    ("restaging", "restagings", "rsdt", "null"),
    ("adverse_event", "adverse_events", "aestdt", "null"),
    ("followup", "followup", "fudt", "null"),
    ("death", "followup", "death_dt", "null"),
)


def pictures(con: "duckdb.DuckDBPyConnection", centre: str, t: "Mapping[str, Any]") -> dict[str, Any]:
    """SVG of the trend, the completeness of endpoint fields, and the subjects' lines; empty where there is nothing.

    Input: reports.centre_figures and the centre's own staged rows. At most
    `figure_subjects` subjects are drawn, those with open queries first. Source: QUALITY, The report to a centre, 4.
    """
    mine = f"centre = {study.sql_literal(centre)}"
    return {"trend": _trend(con, mine, t), "heat": _heat(con, mine, t), **_timelines(con, mine, t)}


def _trend(con: "duckdb.DuckDBPyConnection", mine: str, t: "Mapping[str, Any]") -> str:
    rows = rows_of(con, f"""
        select delivery_dt as day, {", ".join(
            f"max(value) filter (figure = '{f}')::bigint as {f}"
            for f in ("queries_open", "queries_new", "queries_resolved")
        )}
        from reports.centre_figures where {mine} group by n_back, delivery_dt
        qualify row_number() over (order by n_back) <= {2 * DELIVERIES} order by n_back desc
    """)  # fmt: skip
    return inline.trend(rows, {**t["figures"], "trend": t["trend"]}) if rows else ""


def _heat(con: "duckdb.DuckDBPyConnection", mine: str, t: "Mapping[str, Any]") -> str:
    rows = con.execute(f"""
        with recent as (
            select *, dense_rank() over (order by n_delivery desc) as n_back from slice.main.staged_field_counts
            where {mine} qualify n_back <= {DELIVERIES}
        )
        select table_name, field, n_delivery, any_value(delivery_dt), 100 * sum(n_given) / sum(n_rows)
        from recent semi join study.endpoint_fields using (table_name, field)
        group by table_name, field, n_delivery order by n_delivery
    """).fetchall()
    labels = {(x.name, c.name): (x.label, c.label) for x in study.staged_tables().values() for c in x.columns}
    order = [key for key in labels if any(row[:2] == key for row in rows)]
    days = {number: str(day) for _, _, number, day, _ in rows}
    cells = {(order.index((x, f)), list(days).index(number)): share for x, f, number, _, share in rows}
    fields = [f"{t['said'](labels[key][0].split(' (')[0])}: {t['said'](labels[key][1])}" for key in order]
    return inline.heat([shorter(f) for f in fields], list(days.values()), cells, t["heat"]) if rows else ""


def shorter(text: str, letters: int = 56) -> str:
    """A text that has room beside a picture; what was cut shows."""
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"


def _timelines(con: "duckdb.DuckDBPyConnection", mine: str, t: "Mapping[str, Any]") -> dict[str, Any]:
    most = study.protocol()["figure_subjects"]["value"]
    chosen = f"""
        with asked as (
            select usubjid, count(*) as n from validated.findings where {mine} and severity <> 'note' group by usubjid
        ),
        own as (
            select local_id, min(usubjid) as usubjid from slice.main.staged_links
            where {mine} and local_id is not null group by local_id
        )
        select o.local_id, (select count(*) from own) as n_all from own o left join asked a using (usubjid)
        order by coalesce(a.n, 0) > 0 desc, o.local_id limit {most}
    """
    con.execute(f"create or replace temp table drawn_subject as {chosen}")
    selects = " union ".join(
        f"""
            select local_id, '{kind}' as kind, {start} as start_dt, {end}::date as end_dt
            from slice.main.staged_{table} semi join drawn_subject using (local_id) where {mine} and {start} is not null
        """
        for kind, table, start, end in DATED
    )
    subjects: dict[str, list[dict[str, Any]]] = {}
    for row in rows_of(con, f"from ({selects}) order by local_id, kind, start_dt, end_dt"):
        subjects.setdefault(row["local_id"], []).append(row)
    n_all = con.execute("select coalesce(max(n_all), 0) from drawn_subject").fetchall()[0][0]
    con.execute("drop table drawn_subject")
    drawn = inline.timelines(subjects, t["timelines"]) if subjects else []
    return {"timelines": drawn, "n_drawn": len(subjects), "n_subjects": n_all}
