"""Anyone's ADTTE in figures: a row per parameter and group, from rows of text."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.errors import UsageError
from pipelines.survival.curve import Summary, at_times, kaplan_meier, summarise, tied
from pipelines.survival.incidence import cumulative_incidence
from pipelines.survival.logrank import logrank

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

MOST_GROUPS = 200  # more are no groups but subjects
NUMBER, WHOLE = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", r"\+?\d+(\.0*)?"
NAMES = {"shortest": "min", "longest": "max"}
FIGURES = tuple(NAMES.get(f.name, f.name) for f in fields(Summary))
COUNTS = ("n", "n_event", "n_censored", "logrank_df")
TEST = ("logrank_chisq", "logrank_df", "logrank_p")
AT_TIMES = re.compile(r"(at_risk|survival)_\d")
INCIDENCE = ("kind", "t", "n_at_risk", "n_event", "incidence", "std_error", "lcl", "ucl")


@dataclass(frozen=True)
class Group:
    """One group's counts by time (t, n_event, n_censored) and those of each kind of event."""

    key: str
    times: "pd.DataFrame"
    kinds: "pd.DataFrame"


@dataclass(frozen=True)
class Figures:
    """What came of a file: `summary` and `incidence` to be written, `rejected` rows, and what the user should know."""

    summary: "pd.DataFrame"
    incidence: "pd.DataFrame | None"
    rejected: list[tuple[str, str]]
    n_rows: int
    notes: list[str]


def figures(
    con: "duckdb.DuckDBPyConnection", by: str | None = None, times: Sequence[float] = (), kind: str | None = None
) -> Figures:
    """Curves in figures for each PARAMCD and group.

    Input: table or view `adtte` of text: source_row, paramcd, aval, cnsr, [avalu], [usubjid], [the columns named `by`
    and `kind`]. Output grain: a row per PARAMCD and group, in AVAL's unit, with the log-rank test between the groups;
    `incidence`, where `kind` says which of several events it was: a row per PARAMCD, kind and time. Without `times`
    the curve is read at the protocol's months where AVALU is a unit of time. Raises `UsageError` for more groups than
    can be meant, for a column of groups that is named as a figure is, and for two units in one PARAMCD. Source:
    PROTOCOL, Endpoints; CDISC ADaM ADTTE.
    """
    import pandas as pd

    if by and (by.lower() in ("paramcd", "avalu", *FIGURES, *TEST, *INCIDENCE) or AT_TIMES.match(by.lower())):
        raise UsageError(f"--by {by}: the output has a column of this name. Give the column of groups another one.")
    _judge(con, by, kind)
    units = _units(con)
    named = [by.lower()] if by else []
    notes = _repeated(con)
    made: list[dict[str, Any]] = []
    incidences: list[pd.DataFrame] = []
    for paramcd, groups in _groups(con, by, kind).items():
        chosen = {f"{t:g}": t for t in times} or _months(units.get(paramcd))
        if not chosen:
            notes.append(f"{paramcd}: AVALU names no unit of time, so the curve is read at no times; give --times.")
        test = logrank({group.key: group.times for group in groups})
        for group in groups:
            head = {"paramcd": paramcd} | dict.fromkeys(named, group.key)
            tested = dict(zip(TEST, astuple(test) if test else (None,) * 3, strict=True)) if by else {}
            made.append(head | {"avalu": units.get(paramcd)} | _row(group, chosen, tested))
            if len(group.kinds.columns):
                incidences.append(cumulative_incidence(group.times, group.kinds, _alpha()).assign(**head))
    first = ["paramcd", *named, "avalu", *FIGURES, *(TEST if by else ())]
    summary = pd.DataFrame(made, columns=list(dict.fromkeys([*first, *(name for row in made for name in row)])))
    whole = [c for c in summary if c in COUNTS or c.startswith("at_risk_")]
    order = ["paramcd", *named, *INCIDENCE]
    incidence = pd.concat(incidences)[order] if incidences else pd.DataFrame(columns=order)
    rejected = con.execute("select source_row, reason from judged where reason is not null").fetchall()
    total = con.execute("select count(*) from judged").fetchall()[0][0]
    return Figures(summary.astype(dict.fromkeys(whole, "Int64")), incidence if kind else None, rejected, total, notes)


def _row(group: Group, chosen: Mapping[str, float], tested: dict[str, Any]) -> dict[str, Any]:
    """One group in figures: counts, median, range, follow-up, the test, and the curve at the chosen times."""
    curve = kaplan_meier(group.times, _alpha())
    row = dict(zip(FIGURES, astuple(summarise(group.times, curve, _alpha())), strict=True)) | tested
    for name, point in zip(chosen, at_times(curve, list(chosen.values())), strict=True):
        row |= {f"at_risk_{name}": point.n_at_risk, f"survival_{name}": point.survival}
        row |= {f"survival_{name}_lcl": point.lcl, f"survival_{name}_ucl": point.ucl}
    return row


def _alpha() -> float:
    return 1 - float(study.protocol()["confidence_pct"]["value"]) / 100


def _judge(con: "duckdb.DuckDBPyConnection", by: str | None, kind: str | None) -> None:
    """Table `judged`: each row typed, in its order, with the reason why it cannot be used."""
    has = {row[0] for row in con.execute("describe adtte").fetchall()}

    def text(name: str) -> str:
        return f"""nullif(trim("{name.lower()}"), '')""" if name.lower() in has else "null::varchar"

    group, said = text(by) if by else "''", text(kind) if kind else "null"
    reasons = [(f"{text(name)} is null", f"{name} is empty") for name in ("PARAMCD", "AVAL", "CNSR")]
    reasons += [
        (f"not regexp_full_match({text('AVAL')}, '{NUMBER}')", "AVAL is no number"),
        (f"not isfinite({text('AVAL')}::double)", "AVAL is no number"),
        (f"{text('AVAL')}::double < 0", "AVAL is below 0"),
        (f"not regexp_full_match({text('CNSR')}, '{WHOLE}')", "CNSR is no whole number from 0 on (0 = event)"),
    ]
    reasons += [(f"{group} is null", f"{by.upper()} is empty")] if by else []
    event = f"try_cast({text('CNSR')} as double) = 0"
    reasons += [(f"{event} and {said} is null", f"{kind.upper()} is empty, though CNSR is 0")] if kind else []
    cases = " ".join(f"when {when} then {study.sql_literal(reason)}" for when, reason in reasons)
    con.execute(f"""
        create or replace temp table judged as
        select
            source_row, {text("PARAMCD")} as paramcd, {text("USUBJID")} as usubjid, upper({text("AVALU")}) as avalu,
            {group} as group_key, try_cast({text("AVAL")} as double) as t, {event} as happened, {said} as kind,
            case {cases} end as reason
        from adtte
    """)


def _units(con: "duckdb.DuckDBPyConnection") -> dict[str, str]:
    """The unit of each PARAMCD, where AVALU says it; a row without one where others have it is refused."""
    found: dict[str, str] = {}
    for paramcd, avalu in con.execute("""
        select distinct paramcd, avalu from judged where reason is null and avalu is not null order by all
    """).fetchall():
        if found.setdefault(paramcd, avalu) != avalu:
            raise UsageError(f"{paramcd}: AVALU is {found[paramcd]} and {avalu}; one unit a PARAMCD is expected.")
    con.execute("""
        update judged set reason = 'AVALU is empty, though other rows of this PARAMCD have it'
        where reason is null and avalu is null
            and paramcd in (select paramcd from judged where reason is null and avalu is not null)
    """)
    return found


def _months(unit: str | None) -> dict[str, float]:
    """The protocol's times by name, in the unit of AVAL; none where that is unknown."""
    days = float(study.protocol()["days_per_month"]["value"])
    units = {"DAY": days, "WEEK": days / 7, "MONTH": 1.0, "YEAR": 1 / 12}
    factor = units.get((unit or "").removesuffix("S"))
    chosen = study.protocol()["survival_times_months"]["value"] if factor else []
    return {f"{m:g}_months": m * (factor or 0) for m in chosen}


def _repeated(con: "duckdb.DuckDBPyConnection") -> list[str]:
    """Subjects that stand more than once under a PARAMCD: lesions or other parts, or a mistake."""
    repeated = con.execute("""
        select paramcd, count(*) from (
            select paramcd, usubjid from judged where reason is null and usubjid is not null
            group by paramcd, usubjid having count(*) > 1
        ) group by paramcd order by paramcd
    """).fetchall()
    return [f"{paramcd}: {n} subjects stand there more than once; each row was counted." for paramcd, n in repeated]


def _groups(con: "duckdb.DuckDBPyConnection", by: str | None, kind: str | None) -> dict[str, list[Group]]:
    """By PARAMCD its groups, in the order of their names."""
    counted = con.execute("""
        select
            paramcd, group_key, t, count(*) filter (not happened) as n_censored,
            count(*) filter (happened) as n_event, case when happened then kind end as kind
        from judged where reason is null group by all order by all
    """).df()
    found: dict[str, list[Group]] = {}
    for paramcd, rows in counted.groupby("paramcd"):
        if rows["group_key"].nunique() > MOST_GROUPS:
            raise UsageError(f"--by {str(by).upper()}: more than {MOST_GROUPS} groups. Name a column with few values.")
        distinct = sorted(set(rows["t"]))
        rows = rows.assign(t=rows["t"].map(dict(zip(distinct, tied(distinct), strict=True))))
        for key, part in rows.groupby("group_key"):
            times = part.groupby("t")[["n_event", "n_censored"]].sum().reset_index()
            kinds = part[part["n_event"] > 0].pivot_table("n_event", "t", "kind", aggfunc="sum").reindex(times["t"])
            found.setdefault(str(paramcd), []).append(
                Group(str(key), times, kinds.fillna(0) if kind else kinds.iloc[:, :0])
            )
    return found
