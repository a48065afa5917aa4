"""The statistics of the study's report: follow-up, curves at chosen times, groups, and centres against chance."""

from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.figures.words import printed

if TYPE_CHECKING:
    import duckdb

NOT_ESTIMABLE = "NE"


def statistics(con: "duckdb.DuckDBPyConnection") -> dict[str, Any]:
    """Rows as they are printed: percentages to the protocol's decimals, times to those of each endpoint.

    Input: reports.survival_summary, survival_at_times and centre_funnel. What lies beyond the last follow-up is NE.
    Source: PROTOCOL, Statistics and figures.
    """
    decimals = {e["paramcd"]: e["decimals"] for e in study.endpoints()}
    order = {e["paramcd"]: i for i, e in enumerate(study.endpoints())}
    points = con.execute("""
        select paramcd, t_months, n_at_risk, 100 * survival, 100 * lcl, 100 * ucl from reports.survival_at_times
        where grouping = 'all' order by t_months
    """).fetchall()
    followups = con.execute("""
        select paramcd, n_censored, followup_months, followup_lcl, followup_ucl from reports.survival_summary
        where grouping = 'all'
    """).fetchall()
    compared = con.execute("""
        select
            s.paramcd, g.label, s.group_key, s.n, s.n_event, s.median_months, s.median_lcl, s.median_ucl, s.logrank_p
        from reports.survival_summary s
        join (select distinct grouping, label, group_order from study.survival_groups) g using (grouping)
        order by g.group_order, s.group_key
    """).fetchall()
    return {
        "at_times": [
            [paramcd, f"{t:g}", NOT_ESTIMABLE if n is None else n, *(_percent(v) for v in shares)]
            for paramcd, t, n, *shares in sorted(points, key=lambda row: order[row[0]])
        ],
        "followup": [
            [paramcd, n, *(printed(v, decimals[paramcd]) for v in values)]
            for paramcd, n, *values in sorted(followups, key=lambda row: order[row[0]])
        ],
        "compared": [
            [*row[:5], *(printed(v, decimals[row[0]]) for v in row[5:8]), "–" if row[8] is None else printed(row[8], 3)]
            for row in sorted(compared, key=lambda row: order[row[0]])
        ],
        "funnel": _funnel(con),
        "funnel_min_n": study.protocol()["funnel_min_n"]["value"],
        "funnel_levels": " and ".join(f"{v:g}" for v in study.protocol()["funnel_limits_pct"]["value"]),
    }


def _funnel(con: "duckdb.DuckDBPyConnection") -> list[list[Any]]:
    """A row per measure and centre: its count, the counts inside each pair of limits, and the widest one it leaves."""
    rows = con.execute("""
        select
            m.label, centre, n_with, n, any_value(overall_pct), list(lower_n || '-' || upper_n order by limits_pct),
            max(limits_pct) filter (flag in ('low', 'high')), any_value(flag) filter (flag in ('low', 'high')),
            bool_or(flag is not null)
        from reports.centre_funnel f join study.funnel_measure m on m.code = f.measure
        group by m.label, m.list_order, centre, centre_kind, n_with, n order by m.list_order, centre_kind, centre
    """).fetchall()
    return [
        [measure, centre, f"{n_with}/{n}", _percent(overall), ", ".join(limits),
         f"{flag}, outside {outside:g} %" if flag else "within" if judged else "too few"]
        for measure, centre, n_with, n, overall, limits, outside, flag, judged in rows
    ]  # fmt: skip


def _percent(value: float | None) -> str:
    """A percentage as the protocol prints it; binary digits beyond the twelfth are no reason to round up or down."""
    decimals = study.protocol()["decimals_percent"]["value"]
    return NOT_ESTIMABLE if value is None else printed(round(value, 10), decimals)
