"""Endpoints beyond one curve for each patient: those of lesions, and the sensitivity analyses beside the main one."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.survival import SAME, kaplan_meier, median, summarise, survives_half

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

# of times to event, counted by day, so that their number does not matter
COUNTED = """
    select
        {group}, adt - startdt as days, count(*) filter (cnsr = 0) as n_event, count(*) filter (cnsr > 0) as n_censored,
        any_value((adt - startdt) / days_per_month) as t_months
    from {table} cross join study.protocol where {condition}
    group by all order by all
"""


def summarise_all(con: "duckdb.DuckDBPyConnection", target: str = "reports") -> None:
    """Write `pfs_summary` and `survival_curve`: patients as `survival.summarise` counts them, then lesions as lesions.

    Input: derived.adtte, days. The limits of an endpoint of lesions take them for independent. Source: PROTOCOL,
    Endpoints.
    """
    summarise(con, target)
    summaries, curves = [], []
    for (paramcd,), times in _counted(con, "derived.adtte", "lesion_id is not null", "paramcd"):
        curve = kaplan_meier(times, _alpha(con))
        curves += [(paramcd, *row) for row in curve.to_numpy(dtype=object).tolist()]
        summaries.append((paramcd, *_summary(curve)))
    for table, rows in (("pfs_summary", summaries), ("survival_curve", curves)):
        _append(con, f"{target}.{table}", rows)


def sensitivity(con: "duckdb.DuckDBPyConnection", target: str = "reports") -> None:
    """Write `sensitivity`: a row per analysis and endpoint, months, with the difference to the main analysis.

    Input: derived.endpoint_times, days, and the declarations in study/sensitivity. A median that is not reached is
    NULL, and so is a difference with it. A sum of medians has no subjects and no limits. Source: PROTOCOL, Endpoints.
    """
    counted = _counted(con, "derived.endpoint_times", "true", "analysis, paramcd")
    found = {group: _summary(kaplan_meier(times, _alpha(con))) for group, times in counted}
    rows: list[tuple[Any, ...]] = []
    for a in study.sensitivity():
        name, why = a["analysis"], f"{a['title']}. {a['why']}."
        for paramcd in (p for p in a.get("of", ()) if (name, p) in found):
            n, n_event, _, middle, lcl, ucl, *_ = found[name, paramcd]
            rows.append((name, paramcd, n, n_event, middle, lcl, ucl, _less(middle, _main(found, paramcd)), why))
        if "sum_of" in a:
            parts = [_main(found, paramcd) for paramcd in a["sum_of"]]
            total = None if None in parts else sum(p for p in parts if p is not None)
            other = _less(total, _main(found, a["beside"]))
            rows.append((name, a["paramcd"], None, None, total, None, None, other, why))
    con.execute(f"create or replace table {target}.sensitivity ({_declared(f'{target}.sensitivity')})")
    _append(con, f"{target}.sensitivity", rows)


def _counted(
    con: "duckdb.DuckDBPyConnection", table: str, condition: str, group: str
) -> Iterable[tuple[tuple[str, ...], "pd.DataFrame"]]:
    """The times of each group, a row per day."""
    counted = con.execute(COUNTED.format(table=table, condition=condition, group=group)).df()
    return counted.groupby(group.split(", "))


def _summary(curve: "pd.DataFrame") -> tuple[Any, ...]:
    """n, events, censored, median with its limits, shortest and longest time; as `survival.summarise` has them."""
    t, events = curve["t_months"].tolist(), curve["n_event"].tolist()
    n_event, n_censored = int(sum(events)), int(curve["n_censored"].sum())
    half = survives_half(curve["n_at_risk"].tolist(), events)
    limits = (median(t, events, [_side(s) for s in curve[name]]) for name in ("lcl", "ucl"))
    return (n_event + n_censored, n_event, n_censored, median(t, events, half), *limits, min(t), max(t))


def _side(limit: float) -> int:
    """Above, at or below one half; a limit that is missing crosses nothing."""
    return 1 if limit != limit else (limit > 0.5 + SAME) - (limit < 0.5 - SAME)


def _main(found: dict[tuple[str, ...], tuple[Any, ...]], paramcd: str) -> float | None:
    """The median of the main analysis, if anybody is in it and it is reached."""
    return found["main", paramcd][3] if ("main", paramcd) in found else None


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _alpha(con: "duckdb.DuckDBPyConnection") -> float:
    return 1 - float(con.execute("select confidence_pct from study.protocol").fetchall()[0][0]) / 100


def _declared(full_name: str) -> str:
    return ", ".join(f'"{c.name}" {c.sql_type}' for c in study.tables()[full_name].columns)


def _append(con: "duckdb.DuckDBPyConnection", full_name: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """A few rows more; none is none."""
    if rows:
        marks = ", ".join("?" for _ in rows[0])
        con.executemany(f"insert into {full_name} values ({marks})", rows)
