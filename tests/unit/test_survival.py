"""Medians by the rule of R's survfit, exact limits as R's binom.test gives them."""

import itertools
from fractions import Fraction

import pytest

from pipelines.survival.curve import median, survives_half


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
