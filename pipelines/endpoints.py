"""The sensitivity analyses: each endpoint with one choice made otherwise, beside the main analysis."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.survival.curve import kaplan_meier, medians

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

Figures = tuple[int, int, float | None, float | None, float | None]  # n, events, median with its limits
# of times to event, counted by day, so that their number does not matter
COUNTED = """
    select
        {group}, adt - startdt as days, count(*) filter (cnsr = 0) as n_event, count(*) filter (cnsr > 0) as n_censored,
        any_value((adt - startdt) / days_per_month) as t
    from {table} cross join study.protocol
    group by all order by all
"""


def sensitivity(con: "duckdb.DuckDBPyConnection", target: str = "reports") -> None:
    """Write `sensitivity`: a row per analysis and endpoint, months, with the difference to the main analysis.

    Input: derived.endpoint_times, days, and the declarations in study/sensitivity. A median that is not reached is
    NULL, and so is a difference with it. A sum of medians has no subjects and no limits. Source: PROTOCOL, Endpoints.
    """
    counted = _counted(con, "derived.endpoint_times", "analysis, paramcd")
    found = {group: _summary(times, _alpha(con)) for group, times in counted}
    rows: list[tuple[Any, ...]] = []
    for a in study.sensitivity():
        name, why = a["analysis"], f"{a['title']}. {a['why']}."
        for paramcd in (p for p in a.get("of", ()) if (name, p) in found):
            n, n_event, middle, lcl, ucl = found[name, paramcd]
            rows.append((name, paramcd, n, n_event, middle, lcl, ucl, _less(middle, _main(found, paramcd)), why))
        if "sum_of" in a:
            parts = [_main(found, paramcd) for paramcd in a["sum_of"]]
            total = None if None in parts else sum(p for p in parts if p is not None)
            other = _less(total, _main(found, a["beside"]))
            rows.append((name, a["paramcd"], None, None, total, None, None, other, why))
    con.execute(f"create or replace table {target}.sensitivity ({_declared(f'{target}.sensitivity')})")
    _append(con, f"{target}.sensitivity", rows)


def _counted(
    con: "duckdb.DuckDBPyConnection", table: str, group: str
) -> Iterable[tuple[tuple[str, ...], "pd.DataFrame"]]:
    """The times of each group, a row per day."""
    counted = con.execute(COUNTED.format(table=table, group=group)).df()
    return counted.groupby(group.split(", "))


def _summary(times: "pd.DataFrame", alpha: float) -> Figures:
    """n, events, and the median with its limits."""
    n_event, n_censored = int(times["n_event"].sum()), int(times["n_censored"].sum())
    return n_event + n_censored, n_event, *medians(kaplan_meier(times, alpha))


def _main(found: Mapping[tuple[str, ...], Figures], paramcd: str) -> float | None:
    """The median of the main analysis, if anybody is in it and it is reached."""
    return found["main", paramcd][2] if ("main", paramcd) in found else None


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
