"""Nothing small and nothing that runs leaves the house."""

import itertools

import pytest

from pipelines.disclosure import escape_formula, suppress, suppress_rows


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\tx", "\r=1"])
def test_a_text_that_would_run_is_quoted(text: str) -> None:
    assert escape_formula(text) == "'" + text


@pytest.mark.parametrize("text", ["", "P-7", "-12", "+3,5", "37.5", "a=b"])
def test_other_texts_and_plain_numbers_stay(text: str) -> None:
    assert escape_formula(text) == text


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ([9, 12, 7], [9, 12, 7]),
        ([0, 12, 7], [0, 12, 7]),
        ([3, 4, 20], [None, None, 20]),
        ([3, 12, 20], [None, None, 20]),  # one alone could be found by subtraction
        ([3, 0, 0], [None, None, None]),  # nothing but zeros to hide it behind
        ([1, 1, 20], [None, None, None]),  # the two together are 2: each is 1
        ([1, 1, 7, 20], [None, None, None, 20]),
        ([0, 5, 1], [0, None, None]),
    ],
)
def test_small_counts_are_hidden_so_that_no_difference_shows_them(counts: list[int], shown: list[int | None]) -> None:
    assert suppress(counts, bound=5) == shown


def test_without_a_total_only_the_small_ones_are_hidden() -> None:
    assert suppress([3, 12, 20], bound=5, total_known=False) == [None, 12, 20]


@pytest.mark.parametrize("counts", list(itertools.product((0, 1, 2, 4, 5, 9), repeat=3)))
def test_the_total_never_gives_a_small_count_away(counts: tuple[int, ...]) -> None:
    """Who knows the total, and that a hidden cell is not 0 where a 0 is shown, can be certain of no small one."""
    bound, total, shown = 5, sum(counts), suppress(counts, 5)
    least = 0 if 0 in counts and 0 not in shown else 1
    possible = [
        c
        for c in itertools.product(range(total + 1), repeat=len(counts))
        if sum(c) == total and all(x == s if s is not None else x >= least for x, s in zip(c, shown, strict=True))
    ]
    for i, n in enumerate(counts):
        assert not 0 < n < bound <= total or len({c[i] for c in possible}) > 1


def test_a_hidden_row_keeps_only_its_name() -> None:
    rows = [
        {"centre": "a", "n": 3, "pct": 10.0},
        {"centre": "b", "n": 2, "pct": 7.0},
        {"centre": "c", "n": 25, "pct": 83.0},
    ]
    assert suppress_rows(rows, "n", bound=5) == [
        {"centre": "a", "n": None, "pct": None},
        {"centre": "b", "n": None, "pct": None},
        rows[2],
    ]
