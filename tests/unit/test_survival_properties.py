"""What holds of every cohort: exact fractions, repeated rows, order, and kinds of event that add up."""

import random
from contextlib import closing
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import warehouse
from pipelines.survival.adtte import figures
from pipelines.survival.curve import at_times, kaplan_meier, medians, summarise, survives_half
from pipelines.survival.incidence import cumulative_incidence
from pipelines.survival.logrank import logrank

KINDS = ("", "death", "distant", "local")  # the first is censored
Subject = tuple[int, str, str]  # time, kind, group
cohorts = st.lists(st.tuples(st.integers(0, 9), st.sampled_from(KINDS), st.sampled_from("ab")), min_size=1, max_size=40)
several = settings(max_examples=60, deadline=None)


def counts(subjects: list[Subject], times_each: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Counts by time, and those of each kind of event."""
    t = sorted({s[0] for s in subjects})
    by_kind = {k: [times_each * sum(s[:2] == (u, k) for s in subjects) for u in t] for k in KINDS}
    kinds = pd.DataFrame({k: by_kind[k] for k in KINDS[1:]})
    return pd.DataFrame({"t": [float(u) for u in t], "n_event": kinds.sum(axis=1), "n_censored": by_kind[""]}), kinds


@several
@given(cohorts)
def test_the_curve_is_the_product_of_exact_fractions(subjects: list[Subject]) -> None:
    times, _ = counts(subjects)
    curve = kaplan_meier(times, 0.05)
    survival, sides = Fraction(1), []
    for row in curve.to_dict("records"):
        assert row["n_at_risk"] == sum(s[0] >= row["t"] for s in subjects)
        survival *= 1 - Fraction(int(row["n_event"]), int(row["n_at_risk"]))
        assert row["survival"] == pytest.approx(float(survival), abs=1e-12)
        sides.append((survival > Fraction(1, 2)) - (survival < Fraction(1, 2)))
    assert survives_half(curve["n_at_risk"].tolist(), curve["n_event"].tolist()) == sides


@several
@given(cohorts)
def test_kinds_of_event_add_up_to_what_the_curve_has_lost(subjects: list[Subject]) -> None:
    times, kinds = counts(subjects)
    lost = 1 - kaplan_meier(times, 0.05)["survival"].to_numpy()
    found = cumulative_incidence(times, kinds, 0.05)
    assert found.groupby("t")["incidence"].sum().to_numpy() == pytest.approx(lost, abs=1e-12)
    assert (found.groupby("kind")["incidence"].diff().fillna(0) >= 0).all()


@several
@given(cohorts)
def test_the_variance_is_the_sum_of_squared_influences(subjects: list[Subject]) -> None:
    """Each subject's derivative of the incidence by its weight, from weights a little above and below 1."""
    times, kinds = counts(subjects)
    found = cumulative_incidence(times, kinds, 0.05)
    for kind in KINDS[1:]:
        of_kind = found[found["kind"] == kind]
        inside = ((of_kind["incidence"] > 1e-9) & (of_kind["incidence"] < 1 - 1e-9)).to_numpy()
        step = 1e-5
        squared = np.zeros(len(times))
        for i in range(len(subjects)):
            up, down = (incidence_weighted(subjects, i, 1 + sign * step, kind) for sign in (1, -1))
            squared += ((up - down) / (2 * step)) ** 2
        assert (of_kind["std_error"].to_numpy() ** 2)[inside] == pytest.approx(squared[inside], abs=1e-7)


def incidence_weighted(subjects: list[Subject], which: int, weight: float, kind: str) -> np.ndarray:
    """The incidence as its definition says, one subject weighted otherwise."""
    weights = [weight if i == which else 1.0 for i in range(len(subjects))]
    survival, incidence, found = 1.0, 0.0, []
    for t in sorted({s[0] for s in subjects}):
        at_risk = sum(w for s, w in zip(subjects, weights, strict=True) if s[0] >= t)
        events = sum(w for s, w in zip(subjects, weights, strict=True) if s[0] == t and s[1])
        incidence += survival * sum(w for s, w in zip(subjects, weights, strict=True) if s[:2] == (t, kind)) / at_risk
        survival *= 1 - events / at_risk
        found.append(incidence)
    return np.array(found)


@several
@given(cohorts, st.integers(2, 1000))
def test_a_count_stands_for_so_many_rows(subjects: list[Subject], times_each: int) -> None:
    """Curves keep their shape, variances shrink, and counts are those of the repeated rows."""
    (times, kinds), (more, more_kinds) = counts(subjects), counts(subjects, times_each)
    repeated, _ = counts(subjects * 3)
    assert repeated.equals(counts(subjects, 3)[0])
    once, often = kaplan_meier(times, 0.05), kaplan_meier(more, 0.05)
    assert often["n_at_risk"].tolist() == [times_each * n for n in once["n_at_risk"]]
    assert often["survival"].to_numpy() == pytest.approx(once["survival"].to_numpy(), abs=1e-12)
    assert medians(often)[0] == medians(once)[0]
    one, many = cumulative_incidence(times, kinds, 0.05), cumulative_incidence(more, more_kinds, 0.05)
    assert many["incidence"].to_numpy() == pytest.approx(one["incidence"].to_numpy(), abs=1e-12)
    assert many["std_error"].to_numpy() ** 2 == pytest.approx(one["std_error"].to_numpy() ** 2 / times_each, abs=1e-12)


@several
@given(cohorts)
def test_equal_groups_do_not_differ_and_names_of_groups_do_not_matter(subjects: list[Subject]) -> None:
    times, _ = counts(subjects)
    same = logrank({"a": times, "b": times})
    assert same is None or same.chisq == pytest.approx(0, abs=1e-9)
    parts = {g: counts([s for s in subjects if s[2] == g])[0] for g in "ab" if any(s[2] == g for s in subjects)}
    one, other = logrank(parts), logrank({("z" + g if g == "a" else g): parts[g] for g in reversed(parts)})
    assert (one is None) == (other is None)
    if one and other:
        assert one.chisq == pytest.approx(other.chisq, rel=1e-9, abs=1e-12) and one.df == other.df


@several
@given(cohorts, st.lists(st.floats(0, 12), min_size=1, max_size=5))
def test_chosen_times_read_the_curve_and_nothing_is_known_after_it(
    subjects: list[Subject], chosen: list[float]
) -> None:
    times, _ = counts(subjects)
    curve = kaplan_meier(times, 0.05)
    last = max(s[0] for s in subjects)
    for point in at_times(curve, chosen):
        before = curve[curve["t"] <= point.t]["survival"]
        expected = None if point.t > last else before.iloc[-1] if len(before) else 1.0
        assert point.survival == expected
        assert point.n_at_risk == (None if point.t > last else sum(s[0] >= point.t for s in subjects))
    found = summarise(times, curve, 0.05)
    assert (found.n, found.longest) == (len(subjects), last)


def reckoned(subjects: list[Subject]) -> list[Any]:
    cells = [[str(v) for v in column] for column in zip(*subjects, strict=True)]
    columns = {
        "paramcd": ["P"] * len(subjects),
        "aval": cells[0],
        "kind": [k or None for k in cells[1]],
        "arm": cells[2],
    }
    columns |= {"source_row": [str(i) for i in range(len(subjects))], "cnsr": ["0" if k else "1" for k in cells[1]]}
    with closing(warehouse.memory()) as con:
        con.register("adtte", pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}))
        found = figures(con, "ARM", [3], "KIND")
    assert found.incidence is not None
    return [found.summary.to_csv(), found.incidence.to_csv(), found.rejected]


@settings(max_examples=15, deadline=None)
@given(cohorts, st.randoms())
def test_the_order_of_rows_does_not_matter(subjects: list[Subject], chance: random.Random) -> None:
    assert reckoned(subjects) == reckoned(chance.sample(subjects, len(subjects)))
