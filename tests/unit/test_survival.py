"""Medians by the rule of R's survfit, exact limits as R's binom.test gives them."""

import itertools
from fractions import Fraction

import pytest

from pipelines import study, warehouse
from pipelines.survival import exact_limits, median, summarise, survives_half


def km_median(times: list[int], censored: list[bool]) -> float | None:
    """Median of single observations by the module's own steps."""
    order = sorted(set(times))
    n_event = [sum(t == u and not c for u, c in zip(times, censored, strict=True)) for t in order]
    at_risk = [sum(u >= t for u in times) for t in order]
    return median(order, n_event, survives_half(at_risk, n_event))


@pytest.mark.parametrize(
    ("times", "censored", "expected"),
    [
        ([1, 2, 3], [False] * 3, 2),  # quantile(survfit(Surv(1:3) ~ 1), .5): 2
        ([1, 2, 3, 4], [False] * 4, 2.5),  # flat at one half from 2, left at 3
        ([1, 2, 3, 4], [False, False, True, True], 2),  # nothing leaves the plateau
        ([1, 2, 3, 4], [False, True, True, True], None),  # never reached
        ([5, 5, 5, 5], [False, False, True, True], 5),
        ([1, 2, 3, 4, 5, 6], [False, False, True, False, False, False], 4),
    ],
)
def test_median_is_that_of_survfit(times: list[int], censored: list[bool], expected: float | None) -> None:
    assert km_median(times, censored) == expected


@pytest.mark.parametrize("n", [6, 8, 14, 18, 20, 28, 1000])
def test_even_numbers_of_events_end_on_exactly_one_half(n: int) -> None:
    assert km_median(list(range(1, n + 1)), [False] * n) == (n + 1) / 2


def test_sides_are_those_of_exact_fractions() -> None:
    for events in itertools.product(range(3), repeat=5):
        at_risk = [12 - 2 * i for i in range(5)]
        s, expected = Fraction(1), []
        for n, d in zip(at_risk, events, strict=True):
            s *= Fraction(n - d, n)
            expected.append((s > Fraction(1, 2)) - (s < Fraction(1, 2)))
        assert survives_half(at_risk, list(events)) == expected


def test_summary_holds_limits_of_survfit() -> None:
    """Ten times, the fourth and ninth censored: S is 0.58 after 5 and 0.47 after 6."""
    con = warehouse.memory()
    study.create_schema(con)
    con.execute("create schema derived; create schema reports")
    con.execute("""
        create table derived.adtte as
        select 'PFS1' as paramcd, null::varchar as lesion_id, t as aval_days, t::double as aval_months,
            (t in (4, 9))::int as cnsr
        from range(1, 11) r(t)
    """)
    summarise(con)
    row = con.execute("from reports.pfs_summary").fetchall()[0]
    assert row[:5] == ("PFS1", 10, 8, 2, 6)
    assert row[5] < row[4] < row[6] and row[7:] == (1, 10)
    n, at_risk = con.execute("select count(*), max(n_at_risk) from reports.survival_curve").fetchall()[0]
    assert (n, at_risk) == (10, 10)


def test_exact_limits_are_those_of_binom_test() -> None:
    """binom.test(9, 28)$conf.int: 0.1588 to 0.5235; binom.test(0, 28): 0 to 0.1234; binom.test(28, 28): 0.8766 to 1."""
    con = warehouse.memory()
    study.create_schema(con)
    con.execute("create schema reports")
    con.execute("create table reports.response_counts as select 0 as n_cr, 9 as n_pr, 19 as n_sd, 28 as n")
    con.execute("create table reports.toxicity_counts as select 0 as n_any, 0 as n_grade34, 28 as n_denominator")
    exact_limits(con)
    found = con.execute(
        "select n, round(lcl_pct, 2), round(ucl_pct, 2) from reports.exact_limits order by n"
    ).fetchall()
    assert found == [(0, 0.0, 12.34), (9, 15.88, 52.35), (28, 87.66, 100.0)]
