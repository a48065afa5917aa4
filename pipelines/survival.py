"""Kaplan-Meier curves, medians with their limits, and exact limits of proportions.

Curve and log-log limits are lifelines'. The median is ours: lifelines 0.30.3 takes the first time with S <= 0.5 and,
for some even n, the next event, because S comes out as 0.5000000000000001.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines import study

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

SAME = 1e-12  # two values of a limit curve closer than this are one


def summarise(con: "duckdb.DuckDBPyConnection", target: str = "reports") -> None:
    """Write `pfs_summary` (a row per endpoint) and `survival_curve` (a row per endpoint and time) into schema `target`.

    Input: derived.adtte, counted by day first, so that its size does not matter; months. A median that the curve does
    not reach is NULL. Source: PROTOCOL, Endpoints (median rule as R's survfit).
    """
    confidence = con.execute("select confidence_pct from study.protocol").fetchall()[0][0]
    counted = con.execute("""
        select
            paramcd, aval_days, count(*) filter (cnsr = 0) as n_event, count(*) filter (cnsr > 0) as n_censored,
            min(aval_months) as t_months
        from derived.adtte where lesion_id is null
        group by paramcd, aval_days order by paramcd, aval_days
    """).df()
    summaries: list[tuple[object, ...]] = []
    curves: list[tuple[object, ...]] = []
    for paramcd, times in counted.groupby("paramcd"):
        curve = kaplan_meier(times, 1 - float(confidence) / 100)
        curves += [(paramcd, *row) for row in curve.to_numpy(dtype=object).tolist()]
        half = survives_half(curve["n_at_risk"].tolist(), curve["n_event"].tolist())
        t, events = curve["t_months"].tolist(), curve["n_event"].tolist()
        n_event, n_censored = int(curve["n_event"].sum()), int(curve["n_censored"].sum())
        summaries.append(
            (paramcd, n_event + n_censored, n_event, n_censored, median(t, events, half),
             median(t, events, [_side(s) for s in curve["lcl"]]), median(t, events, [_side(s) for s in curve["ucl"]]),
             min(t), max(t))
        )  # fmt: skip
    _write(con, f"{target}.pfs_summary", summaries)
    _write(con, f"{target}.survival_curve", curves)


def kaplan_meier(times: "pd.DataFrame", alpha: float) -> "pd.DataFrame":
    """The curve of one endpoint: a row per time with n_at_risk, n_event, n_censored, survival, lcl and ucl.

    Limits are missing once nobody is left: Greenwood's variance has no value there (as in R, SAS and Stata).
    """
    import warnings

    from lifelines import KaplanMeierFitter

    both = times.melt(["t_months"], ["n_event", "n_censored"], "kind", "weight").query("weight > 0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that weights may be samples; here they are counts
        fit = KaplanMeierFitter(alpha=alpha).fit(both["t_months"], both["kind"] == "n_event", weights=both["weight"])
    table = fit.event_table.loc[times["t_months"]]
    limits = fit.confidence_interval_.loc[times["t_months"]]
    curve = times[["t_months"]].copy()
    curve["n_at_risk"] = table["at_risk"].round().astype("int64").to_numpy()
    curve["n_event"], curve["n_censored"] = times["n_event"], times["n_censored"]
    curve["survival"] = fit.survival_function_.loc[times["t_months"]].iloc[:, 0].to_numpy()
    curve["lcl"], curve["ucl"] = limits.iloc[:, 0].to_numpy(), limits.iloc[:, 1].to_numpy()
    curve.loc[curve["survival"] == 0, ["lcl", "ucl"]] = float("nan")
    return curve


def survives_half(n_at_risk: Sequence[int], n_event: Sequence[int]) -> list[int]:
    """After each time: is the curve above (1), exactly at (0) or below (-1) one half? Whole numbers throughout."""
    sides, survivors, all_at_risk = [], 1, 1
    for at_risk, events in zip(n_at_risk, n_event, strict=True):
        survivors, all_at_risk = survivors * (at_risk - events), all_at_risk * at_risk
        if survivors == 0:
            all_at_risk = 1
        sides.append((2 * survivors > all_at_risk) - (2 * survivors < all_at_risk))
    return sides


def median(times: Sequence[float], n_event: Sequence[int], sides: Sequence[int]) -> float | None:
    """The first time at which the curve is at or below one half; NULL where it never is.

    Where it lies flat at exactly one half: the midpoint between the first time there and the event that leaves it, or
    that first time where none does. Source: R, survival::survfit.
    """
    first = next((i for i, side in enumerate(sides) if side <= 0), None)
    if first is None:
        return None
    if sides[first] < 0:
        return times[first]
    left = next((t for t, events, side in zip(times, n_event, sides, strict=True) if side < 0 and events), None)
    return times[first] if left is None else (times[first] + left) / 2


def _side(limit: float) -> int:
    """As `survives_half`, for a limit curve; one that is missing crosses nothing."""
    return 0 if abs(limit - 0.5) < SAME else -1 if limit < 0.5 else 1


def exact_limits(con: "duckdb.DuckDBPyConnection", target: str = "reports") -> None:
    """Write `exact_limits`: Clopper-Pearson limits of every proportion that the reports print, in percent.

    Input: reports.response_counts and reports.toxicity_counts. Grain: one row per numerator and denominator.
    Source: Clopper and Pearson 1934 (beta quantiles); PROTOCOL, Statistics and figures.
    """
    from scipy.stats import beta

    pairs = con.execute("""
        select n_cr + n_pr as n, n as denominator from reports.response_counts
        union select n_cr + n_pr + n_sd, n from reports.response_counts
        union select n_any, n_denominator from reports.toxicity_counts
        union select n_grade34, n_denominator from reports.toxicity_counts
        order by all
    """).fetchall()
    confidence = float(con.execute("select confidence_pct from study.protocol").fetchall()[0][0]) / 100
    tail = (1 - confidence) / 2
    rows = [
        (n, of, 100 * float(beta.ppf(tail, n, of - n + 1)) if n else 0.0,
         100 * float(beta.ppf(1 - tail, n + 1, of - n)) if n < of else 100.0)
        for n, of in pairs if of
    ]  # fmt: skip
    _write(con, f"{target}.exact_limits", rows)


def _write(con: "duckdb.DuckDBPyConnection", full_name: str, rows: Sequence[Sequence[object]]) -> None:
    """A declared table made anew from a few rows; what is not a number becomes NULL."""
    import pandas as pd

    names = [c.name for c in study.tables()[full_name].columns]
    types = ", ".join(f'"{c.name}"::{c.sql_type} as "{c.name}"' for c in study.tables()[full_name].columns)
    con.register("rows_to_write", pd.DataFrame(rows, columns=names, dtype=object if not rows else None))
    con.execute(f"create or replace table {full_name} as select {types} from rows_to_write")
    con.unregister("rows_to_write")
