"""The way to every report: all centres at a glance, side by side, and what is overdue."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.figures import inline
from pipelines.figures.words import printed
from pipelines.reports.pages import OPEN, RULES, inlined, note_of, page, reading, rows_of
from pipelines.rules.gx import native_problems
from pipelines.rules.load import load_rules
from pipelines.status import lateness
from pipelines.warehouse import Home

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

SHARES = ("completeness", "conformance", "restaging_on_time", "response_agreement")
COUNTS = ("queries_open", "queries_new", "queries_resolved", "queries_reopened", "query_age")
OVERDUE = 200  # listed one by one
# the newest day that any centre's data are of: the same deliveries give the same page, whenever it is made
TODAY = "(select max(delivery_dt) from reports.centre_figures)"


def write_index(con: "duckdb.DuckDBPyConnection", home: Home, late_after_pct: int) -> list[Path]:
    """Write `reports/index.html`: all centres at a glance, key figures side by side with their trend and funnel, what
    is overdue, the rules by failures, and links to every report.

    Stays inside the coordinating centre; nothing is suppressed. Source: QUALITY, The report to a centre.
    """
    with reading(con):
        values = {
            "title": study.title("en"), "note": note_of(home),
            "centres": _centres(con, late_after_pct),
            "figures": _figures(con), "overdue": _overdue(con), "most_overdue": OVERDUE,
            "rules": [*_native_problems(home), *con.execute(RULES).fetchall()], "links": dict(_links(home)),
            "today": con.execute(f"select {TODAY}").fetchall()[0][0],
        }  # fmt: skip
        values["figures_drawn"] = inlined(home.reports / "study" / "figures", "funnel")
        return [page("index.html", home.reports / "index.html", **values)]


def _centres(con: "duckdb.DuckDBPyConnection", late_after_pct: int) -> list[dict[str, Any]]:
    """One row per centre: what it sent, when the next delivery is due, and its open queries after each delivery."""
    rows = rows_of(con, f"""
        with received as (select centre, sum(n_rows)::bigint as n from slice.main.staged_received group by centre),
        dropped as (select centre, count(*) as n from slice.main.staged_dropped group by 1),
        known as (select centre, count(distinct usubjid) as n from harmonised.links group by 1),
        asked as (select centre, count(*) as n from validated.findings where {OPEN} group by 1),
        delivered as (
            select
                centre, max(delivery_dt) as delivery_dt,
                list(value::bigint order by n_back desc) as trend,
                list(delivery_dt::varchar order by n_back desc) as days
            from reports.centre_figures where figure = 'queries_open' group by centre
        )
        select
            c.centre, c.title, d.delivery_dt, d.trend, d.days, coalesce(r.n, 0) as n_received,
            coalesce(x.n, 0) as n_dropped, coalesce(k.n, 0) as n_subjects, coalesce(a.n, 0) as n_queries,
            c.cadence_days, {TODAY} as today
        from study.centres c
        left join delivered d using (centre)
        left join received r using (centre)
        left join dropped x using (centre)
        left join known k using (centre)
        left join asked a using (centre)
        order by c.centre_kind, c.centre
    """)  # fmt: skip
    most = max((n for row in rows for n in row["trend"] or ()), default=0)
    for row in rows:
        row["due_dt"], row["n_late"] = None, 0
        if row["delivery_dt"]:
            row["due_dt"], row["n_late"] = lateness(
                row["delivery_dt"], row["cadence_days"], late_after_pct, row["today"]
            )
    return [
        row | {"spark": inline.spark(row["days"], row["trend"], most, "Open queries") if row["trend"] else ""}
        for row in rows
    ]


def _figures(con: "duckdb.DuckDBPyConnection") -> list[dict[str, Any]]:
    """One row per centre with its key figures as printed, and which of the shares lie outside their widest limits."""
    cells = rows_of(con, """
        with outside as (
            select centre, measure as figure, any_value(flag) as flag from reports.centre_funnel
            where flag in ('low', 'high') group by all
        )
        select c.title, f.*, o.flag from study.centres c
        left join reports.centre_figures f on f.centre = c.centre and f.n_back = 0
        left join outside o on o.centre = f.centre and o.figure = f.figure
        order by c.centre_kind, c.centre
    """)  # fmt: skip
    rows: dict[str, dict[str, Any]] = {}
    for cell in cells:
        row = rows.setdefault(cell["title"], {"title": cell["title"]})
        if cell["figure"]:
            row[cell["figure"]] = (_printed(cell), cell["flag"])
    return list(rows.values())


def _printed(cell: dict[str, Any]) -> str:
    if cell["value"] is None:
        return "–"
    if cell["figure"] in SHARES:
        return f"{printed(cell['value'], 1)} %"
    return printed(cell["value"], 0)


def _overdue(con: "duckdb.DuckDBPyConnection") -> list[tuple[Any, ...]]:
    """Queries whose day of reply has passed: by centre, then the oldest first."""
    return con.execute(f"""
        with overdue as (
            from validated.findings where {OPEN} and state <> 'answered' and due_dt < {TODAY}
        )
        select centre, usubjid, message, state, due_dt, {TODAY} - due_dt as n_late, query_id,
            (select count(*) from overdue) as n_all
        from overdue
        order by centre, due_dt, query_id limit {OVERDUE}
    """).fetchall()


def _native_problems(home: Home) -> "Iterator[tuple[Any, ...]]":
    """The rules that Great Expectations could not run, as `RULES` has them; it leaves no counts of its own."""
    found = native_problems(home.gx)
    for rule in load_rules(keep_broken=True) if found else ():
        if rule.rule_id in found:
            yield rule.rule_id, rule.title["en"], rule.severity, 0, 0, found[rule.rule_id]


def _links(home: Home) -> "Iterator[tuple[str, str]]":
    """What there is to open beside the centres' reports: text -> path from the page."""
    yield "Report of the study", "study/report.html"
    yield "Rows behind its tables", "study/sources.html"
    yield "Table I", "study/table1.csv"
    yield "Table II", "study/table2.csv"
    yield "Table III", "study/table3.csv"
    yield "Comparison with the paper", "study/reconciliation.csv"
    yield "Centres against chance", "study/centre_funnel.csv"
    for path in sorted(home.gx.glob("**/data_docs/*/index.html"))[:1]:
        yield "Rules in Great Expectations", f"../{path.relative_to(home.root).as_posix()}"
