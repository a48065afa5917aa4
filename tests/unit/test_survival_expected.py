"""Curves, medians, chosen times, log-rank and cumulative incidence are those that R's survival gives.

`survival_expected/expected.R` made both the cohorts and what R says of them; see there for their sources.
"""

import csv
import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest

from pipelines.survival.curve import at_times, kaplan_meier, summarise, tied
from pipelines.survival.incidence import cumulative_incidence
from pipelines.survival.logrank import logrank
from pipelines.survival.proportions import clopper_pearson, funnel_limits

FOLDER = Path(__file__).with_name("survival_expected")
DIGITS = 1e-9  # relative; the files hold twelve digits
Row = dict[str, str]


def rows(name: str) -> list[Row]:
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


COHORTS: dict[str, list[Row]] = {}
for cohort_row in rows("cohorts"):
    COHORTS.setdefault(cohort_row["paramcd"], []).append(cohort_row)


def members(paramcd: str, grp: str = "") -> list[Row]:
    return [row for row in COHORTS[paramcd] if not grp or row["grp"] == grp]


def times_of(chosen: Iterable[Row], among: Iterable[Row] | None = None) -> pd.DataFrame:
    """Counts by time: of events, of censoring, and of each kind of event; times are tied `among` those compared."""
    found = pd.DataFrame(chosen)
    found["t"] = found["t"].astype(float)
    distinct = sorted({float(row["t"]) for row in among} if among else set(found["t"]))
    found["t"] = found["t"].map(dict(zip(distinct, tied(distinct), strict=True)))
    found["n_event"], found["n_censored"] = found["cnsr"].eq("0").astype(int), found["cnsr"].ne("0").astype(int)
    kinds = pd.get_dummies(found["kind"]).astype(int).drop(columns="", errors="ignore")
    return pd.concat([found[["t", "n_event", "n_censored"]], kinds], axis=1).groupby("t").sum().reset_index()


def number(text: str) -> float | None:
    return float(text) if text not in ("", "NA") else None


def agrees(found: float | None, text: str) -> bool:
    """As R printed it; missing where R has none."""
    expected = number(text)
    missing = found is None or math.isnan(found)
    if expected is None or missing:
        return missing and expected is None
    return math.isclose(found, expected, rel_tol=DIGITS, abs_tol=1e-11)


def by_cohort(name: str) -> list[tuple[str, list[Row]]]:
    expected = rows(name)
    codes = dict.fromkeys(row["paramcd"] for row in expected)
    return [(paramcd, [row for row in expected if row["paramcd"] == paramcd]) for paramcd in codes]


@pytest.mark.parametrize(("paramcd", "expected"), by_cohort("curves"))
def test_curve_and_limits(paramcd: str, expected: list[Row]) -> None:
    curve = kaplan_meier(times_of(members(paramcd)), 0.05)
    assert len(curve) == len(expected)
    for found, row in zip(curve.to_dict("records"), expected, strict=True):
        for name in ("n_at_risk", "n_event", "n_censored"):
            assert found[name] == int(row[name])
        assert agrees(found["t"], row["t"]) and agrees(found["survival"], row["survival"])
        if row["survival"] != "1":  # R gives none there or 1, as the time is one of the data or not
            assert agrees(found["lcl"], row["lcl"]) and agrees(found["ucl"], row["ucl"]), row


@pytest.mark.parametrize("row", rows("summaries"), ids=lambda r: f"{r['paramcd']}-{r['grp']}")
def test_median_range_and_followup_with_limits(row: Row) -> None:
    times = times_of(members(row["paramcd"], row["grp"]))
    found = summarise(times, kaplan_meier(times, 0.05), 0.05)
    assert (found.n, found.n_event, found.n_censored) == (
        int(row["n"]),
        int(row["n_event"]),
        int(row["n"]) - int(row["n_event"]),
    )
    assert agrees(found.median, row["median"])
    assert agrees(found.median_lcl, row["lcl"]) and agrees(found.median_ucl, row["ucl"])
    assert agrees(found.shortest, row["min"]) and agrees(found.longest, row["max"])
    assert agrees(found.followup, row["followup"])
    assert agrees(found.followup_lcl, row["followup_lcl"]) and agrees(found.followup_ucl, row["followup_ucl"])


@pytest.mark.parametrize(("paramcd", "expected"), by_cohort("times"))
def test_survival_at_chosen_times(paramcd: str, expected: list[Row]) -> None:
    """Beyond the last follow-up nothing is estimated."""
    for grp in dict.fromkeys(row["grp"] for row in expected):
        wanted = [row for row in expected if row["grp"] == grp]
        curve = kaplan_meier(times_of(members(paramcd, grp)), 0.05)
        for found, row in zip(at_times(curve, [float(r["t"]) for r in wanted]), wanted, strict=True):
            assert found.n_at_risk == number(row["n_at_risk"])
            assert agrees(found.survival, row["survival"])
            known = row["survival"] != "1"
            assert agrees(found.lcl, row["lcl"] if known else "") and agrees(found.ucl, row["ucl"] if known else "")


@pytest.mark.parametrize(("paramcd", "expected"), by_cohort("logrank"))
def test_logrank(paramcd: str, expected: list[Row]) -> None:
    every = members(paramcd)
    groups = {grp: times_of(members(paramcd, grp), every) for grp in sorted({row["grp"] for row in every})}
    found, row = logrank(groups), expected[0]
    assert found is not None and found.df == int(row["df"])
    assert agrees(found.chisq, row["chisq"]) and agrees(found.p, row["p"])


@pytest.mark.parametrize("paramcd", ["CENSORED", "ONE"])
def test_nothing_is_compared_without_events_or_groups(paramcd: str) -> None:
    groups = {grp: times_of(members(paramcd, grp)) for grp in {row["grp"] for row in members(paramcd)}}
    assert logrank(groups) is None


def test_nothing_is_compared_where_everybody_has_the_event_at_once() -> None:
    one = pd.DataFrame({"t": [3.0], "n_event": [2], "n_censored": [0]})
    assert logrank({"a": one, "b": one}) is None


@pytest.mark.parametrize(("paramcd", "expected"), by_cohort("incidence"))
def test_cumulative_incidence_with_limits(paramcd: str, expected: list[Row]) -> None:
    kinds, times = sorted({row["kind"] for row in expected}), times_of(members(paramcd))
    found = cumulative_incidence(times, times[kinds], 0.05).to_dict("records")
    for made, row in zip(found, expected, strict=True):
        assert (made["kind"], made["n_at_risk"]) == (row["kind"], int(row["n_at_risk"]))
        for name in ("t", "incidence", "std_error", "lcl", "ucl"):
            assert agrees(made[name], row[name]), (name, made, row)


@pytest.mark.parametrize("row", rows("proportions"), ids=lambda r: f"{r['n']}/{r['of']}")
def test_exact_limits_are_those_of_binom_test(row: Row) -> None:
    lower, upper = clopper_pearson(int(row["n"]), int(row["of"]), 95)
    assert agrees(lower / 100, row["lcl"]) and agrees(upper / 100, row["ucl"])


@pytest.mark.parametrize("row", rows("funnel"), ids=lambda r: f"{r['n']}-{r['p']}-{r['limits_pct']}")
def test_funnel_limits_are_those_of_qbinom(row: Row) -> None:
    found = funnel_limits(int(row["n"]), float(row["p"]), float(row["limits_pct"]))
    assert found == (int(row["lower"]), int(row["upper"]))


def test_the_cohorts_are_those_that_go_wrong_elsewhere() -> None:
    """Plateaus at one half, ties of events and censoring, time 0, heavy censoring, no event at all, one subject."""
    assert {f"PLATEAU{n}" for n in (6, 8, 14, 18, 20)} < COHORTS.keys()
    ties = times_of(members("TIES"))
    assert ((ties["n_event"] > 0) & (ties["n_censored"] > 0)).all()
    assert times_of(members("ZERO"))["n_event"].iloc[0] > 0 and times_of(members("ZERO"))["t"].iloc[0] == 0
    assert sum(row["cnsr"] == "1" for row in members("HEAVY")) > 0.85 * len(members("HEAVY"))
    assert all(row["cnsr"] == "1" for row in members("CENSORED")) and len(members("ONE")) == 1
