"""Nothing small and nothing that runs leaves the house."""

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
        ([3, 0, 0], [None, 0, 0]),
        ([5, 1], [None, None]),
    ],
)
def test_small_counts_are_hidden_so_that_no_difference_shows_them(counts: list[int], shown: list[int | None]) -> None:
    assert suppress(counts, bound=5) == shown


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
