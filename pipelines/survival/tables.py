"""The study's statistics as tables: times to event, chosen times, competing events, exact limits, centres.

SQL counts by day first, so that the size of the cohort does not matter; what is left is small.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.survival.curve import at_times, kaplan_meier, summarise
from pipelines.survival.incidence import cumulative_incidence
from pipelines.survival.logrank import logrank
from pipelines.survival.proportions import clopper_pearson, funnel_limits

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

EVERYBODY = "all"
SURVIVAL_TABLES = (
    "reports.survival_summary", "reports.survival_at_times", "reports.survival_curve",
    "reports.survival_curve_by_group", "reports.cumulative_incidence",
)  # fmt: skip
SURVIVAL_READS = ("derived.adtte", "derived.adsl", "study.endpoints", "study.survival_groups", "study.protocol")


@dataclass(frozen=True)
class Group:
    """One group's counts by time: t, n_event, n_censored; of everybody also those of each kind of event."""

    paramcd: str
    grouping: str
    key: str
    counted: str
    times: "pd.DataFrame"
    kinds: "pd.DataFrame | None" = None


def survival(con: "duckdb.DuckDBPyConnection", target: str = "reports") -> None:
    """Write the tables of `SURVIVAL_TABLES` into schema `target`; months.

    Input: derived.adtte and derived.adsl; endpoints by lesion count lesions, as if each were alone (their limits take
    no account of lesions in one patient). Groups are those of study/survival_groups.yaml for endpoints that run from
    one of their dates. What is not reached or lies beyond the last follow-up is NULL.
    Source: PROTOCOL, Endpoints (median rule as R's survfit) and Statistics and figures.
    """
    confidence, chosen = con.execute("select confidence_pct, survival_times_months from study.protocol").fetchall()[0]
    alpha, months = 1 - float(confidence) / 100, [float(m) for m in chosen]
    groups = [*_everybody(con), *_grouped(con)]
    compared: dict[tuple[str, str], dict[str, pd.DataFrame]] = {}
    for group in groups:
        compared.setdefault((group.paramcd, group.grouping), {})[group.key] = group.times
    tests = {place: logrank(parts) for place, parts in compared.items()}
    summaries: list[tuple[Any, ...]] = []
    points: list[tuple[Any, ...]] = []
    curves: dict[bool, list[pd.DataFrame]] = {True: [], False: []}
    for group in groups:
        head = (group.paramcd, group.grouping, group.key)
        curve = kaplan_meier(group.times, alpha)
        test = tests[group.paramcd, group.grouping]
        figures = astuple(summarise(group.times, curve, alpha))
        summaries.append((*head, group.counted, *figures, *(astuple(test) if test else (None,) * 3)))
        points += [(*head, *astuple(point)) for point in at_times(curve, months)]
        named = {"paramcd": group.paramcd, "grouping": group.grouping, "group_key": group.key}
        curves[group.grouping == EVERYBODY].append(curve.assign(**named))
    _write(con, f"{target}.survival_summary", summaries)
    _write(con, f"{target}.survival_at_times", points)
    _write_frames(con, f"{target}.survival_curve", curves[True])
    _write_frames(con, f"{target}.survival_curve_by_group", curves[False])
    _write_frames(con, f"{target}.cumulative_incidence", list(_incidences(con, groups, alpha)))


def _everybody(con: "duckdb.DuckDBPyConnection") -> Iterator[Group]:
    """Each endpoint's counts by day; lesions count only where the endpoint has no times of subjects."""
    counted = con.execute("""
        select
            paramcd, lesion_id is not null as of_lesion, aval_days, evntdesc, cnsr = 0 as happened,
            count(*) as n, min(aval_months) as t
        from derived.adtte
        group by paramcd, of_lesion, aval_days, evntdesc, happened
        qualify not of_lesion or bool_and(of_lesion) over (partition by paramcd)
        order by all
    """).df()
    for paramcd, rows in counted.groupby("paramcd"):
        times = _by_time(rows)
        kinds = rows[rows["happened"]].pivot_table("n", "t", "evntdesc", aggfunc="sum").reindex(times["t"]).fillna(0)
        counted_by = "lesion" if bool(rows["of_lesion"].iloc[0]) else "subject"
        yield Group(str(paramcd), EVERYBODY, EVERYBODY, counted_by, times, kinds)


def _grouped(con: "duckdb.DuckDBPyConnection") -> Iterator[Group]:
    """The same by each declared column, for the endpoints that it may be compared in; one pass for all columns."""
    columns = list(study.survival_groups())
    if not columns:
        return
    named = " ".join(f"when grouping({c}) = 0 then '{c}'" for c in columns)
    keys = " ".join(f"when grouping({c}) = 0 then {c}::varchar" for c in columns)
    sets = ", ".join(f"(paramcd, of_lesion, aval_days, happened, {c})" for c in columns)
    counted = con.execute(f"""
        with by_day as materialized (
            select
                a.paramcd, a.lesion_id is not null as of_lesion, a.aval_days, a.cnsr = 0 as happened,
                {", ".join(f"s.{c}" for c in columns)}, count(*) as n, min(a.aval_months) as t
            from derived.adtte a
            join derived.adsl s using (usubjid)
            group by all
        ),
        counted as (
            select
                paramcd, of_lesion, happened, case {named} end as grouped, case {keys} end as group_key,
                sum(n)::bigint as n, min(t) as t
            from by_day
            group by grouping sets ({sets})
        )
        select c.* from counted c
        join study.endpoints e on e.paramcd = c.paramcd and e.role = 'start'
        join study.survival_groups g on g.grouping = c.grouped and g.date_name = e.date_name
        where c.group_key is not null
        qualify not of_lesion or bool_and(of_lesion) over (partition by c.paramcd)
        order by c.paramcd, g.group_order, c.group_key, c.t
    """).df()
    for (paramcd, grouped, key), rows in counted.groupby(["paramcd", "grouped", "group_key"], sort=False):
        counted_by = "lesion" if bool(rows["of_lesion"].iloc[0]) else "subject"
        yield Group(str(paramcd), str(grouped), str(key), counted_by, _by_time(rows))


def _by_time(rows: "pd.DataFrame") -> "pd.DataFrame":
    """Rows of counts as one row per time: t, n_event, n_censored."""
    both = rows.assign(
        n_event=rows["n"].where(rows["happened"], 0), n_censored=rows["n"].where(~rows["happened"], 0)
    )  # fmt: skip
    return both.groupby("t")[["n_event", "n_censored"]].sum().reset_index()


def _incidences(con: "duckdb.DuckDBPyConnection", groups: Sequence[Group], alpha: float) -> "Iterator[pd.DataFrame]":
    """Competing kinds of event, for every endpoint that declares more than one."""
    declared: dict[str, list[str]] = {}
    for paramcd, kind in con.execute("""
        select paramcd, description from study.endpoints where role = 'event' order by paramcd, step_rank
    """).fetchall():
        declared.setdefault(paramcd, []).append(kind)
    for group in groups:
        kinds = declared.get(group.paramcd, [])
        if group.kinds is not None and len(kinds) > 1:
            happened = group.kinds[[kind for kind in kinds if kind in group.kinds]]
            made = cumulative_incidence(group.times, happened, alpha) if len(happened.columns) else None
            if made is not None:
                yield made.assign(paramcd=group.paramcd).rename(columns={"kind": "evntdesc"})


def exact_limits(con: "duckdb.DuckDBPyConnection", target: str = "reports") -> None:
    """Write `exact_limits`: Clopper-Pearson limits of every proportion that the reports print, in percent.

    Input: reports.response_counts and reports.toxicity_counts. Grain: one row per numerator and denominator.
    Source: PROTOCOL, Statistics and figures.
    """
    pairs = con.execute("""
        select n_cr + n_pr as n, n as denominator from reports.response_counts
        union select n_cr + n_pr + n_sd, n from reports.response_counts
        union select n_any, n_denominator from reports.toxicity_counts
        union select n_grade34, n_denominator from reports.toxicity_counts
        order by all
    """).fetchall()
    confidence = float(con.execute("select confidence_pct from study.protocol").fetchall()[0][0])
    _write(con, f"{target}.exact_limits", [(n, of, *clopper_pearson(n, of, confidence)) for n, of in pairs if of])


def centre_funnel(con: "duckdb.DuckDBPyConnection", target: str = "reports") -> None:
    """Write `centre_funnel`: what each centre's rate may be by chance if it is that of all centres of its kind.

    Input: reports.centre_counts. Grain: one row per measure, centre and pair of limits (`funnel_limits_pct`). A centre
    with fewer subjects than `funnel_min_n` is never flagged. Source: PROTOCOL, Statistics and figures.
    """
    levels, fewest = con.execute("select funnel_limits_pct, funnel_min_n from study.protocol").fetchall()[0]
    counts = con.execute("""
        select measure, centre, centre_kind, n_with, n, (sum(n_with) over kind / sum(n) over kind)::double as overall
        from reports.centre_counts where n > 0
        window kind as (partition by measure, centre_kind) order by measure, centre_kind, centre
    """).fetchall()
    rows = []
    for measure, centre, kind, n_with, n, overall in counts:
        for level in levels:
            lower, upper = funnel_limits(n, overall, float(level))
            flag = "low" if n_with < lower else "high" if n_with > upper else "within"
            rows.append(
                (measure, centre, kind, n_with, n, 100 * n_with / n, 100 * overall, float(level), lower, upper,
                 100 * lower / n, 100 * upper / n, flag if n >= fewest else None)
            )  # fmt: skip
    _write(con, f"{target}.centre_funnel", rows)


def _write_frames(con: "duckdb.DuckDBPyConnection", full_name: str, frames: "Sequence[pd.DataFrame]") -> None:
    """A declared table from frames whose time is `t`."""
    import pandas as pd

    names = [c.name for c in study.tables()[full_name].columns]
    _write(con, full_name, pd.concat(frames).rename(columns={"t": "t_months"})[names] if frames else ())


def _write(con: "duckdb.DuckDBPyConnection", full_name: str, rows: "Sequence[Sequence[object]] | pd.DataFrame") -> None:
    """A declared table made anew from a few rows; what is not a number becomes NULL."""
    import pandas as pd

    columns = study.tables()[full_name].columns
    types = ", ".join(f'"{c.name}"::{c.sql_type} as "{c.name}"' for c in columns)
    frame = pd.DataFrame(rows, columns=[c.name for c in columns], dtype=None if len(rows) else object)
    con.register("rows_to_write", frame)
    con.execute(f"create or replace table {full_name} as select {types} from rows_to_write")
    con.unregister("rows_to_write")
