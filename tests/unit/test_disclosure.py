"""Nothing small and nothing that runs leaves the house."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from pipelines.disclosure import (
    escape_formula,
    in_one_line,
    readable,
    suppress,
    suppress_rows,
    suppress_table,
    unescape_formula,
)


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "=cmd|' /C calc'!A0", " =1", "\xa0=1", "＝1+1", "-inf", "+nan"]
)
def test_a_text_that_would_run_is_quoted(text: str) -> None:
    assert escape_formula(text) == "'" + text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\tx", "<tab>x"),
        ("\r=1", "<return>=1"),
        ("a\r\n=1", "a<return><line end>=1"),
        ("\u202e=1", "<U+202E>=1"),
        ("a\u2066b\ufeff", "a<U+2066>b<U+FEFF>"),
        ("nul\x00 del\x7f \ufffe", "nul<U+0000> del<U+007F> <U+FFFE>"),
        ("see;=cmd|' /C calc'!A0", "see;'=cmd|' /C calc'!A0"),  # opened by a spreadsheet that splits at the other sign
        ("a, @SUM(1)", "a, '@SUM(1)"),
        ("3,-2.5", "3,-2.5"),
        ("3;-2+3", "3;'-2+3"),
    ],
)
def test_what_cannot_be_seen_is_shown_and_no_cell_begins_inside(text: str, shown: str) -> None:
    assert escape_formula(text) == shown


@pytest.mark.parametrize("text", ["=1+1", "-2+3", "a, @SUM(1)", "'quoted'", "it's", "3;-2+3", "", "L1/L2", "o'=x"])
def test_what_comes_back_from_a_centre_is_what_was_sent(text: str) -> None:
    assert unescape_formula(f" {escape_formula(text)} ") == text


@pytest.mark.parametrize("text", ["line one\nline two", "=long " * 150, "a\n" * 300, "\u202e=1" * 80, "=" * 501])
def test_what_was_shown_once_comes_back_and_is_shown_as_the_same(text: str) -> None:
    """However a list changes a comment to show it: sent back as it is, the comment is the one that we have."""
    kept = in_one_line(text)
    assert unescape_formula(escape_formula(text)) == kept == unescape_formula(escape_formula(kept))


def test_a_very_long_text_is_cut_and_says_so() -> None:
    assert readable("x" * 500) == "x" * 500
    assert readable("x" * 100_000) == "x" * 500 + "… (100000)" == readable(readable("x" * 100_000))
    assert readable("\t" * 500) == "<tab>" * 100 + "… (500)"


@settings(max_examples=500)
@given(st.text(alphabet="=+'; \n\u202ex…(1)", max_size=40), st.sampled_from([0, 480, 499, 500, 501]))
def test_a_reply_that_is_sent_back_as_it_is_reads_as_before(text: str, at: int) -> None:
    kept = in_one_line(unescape_formula("x" * at + text))
    assert in_one_line(unescape_formula(escape_formula(kept))) == kept


PIECES = [*",;|\t\"' =+-@＝－\r\n1a.\xa0", "cmd|' /C calc'!A0", "-2", "\u202e"]


@settings(max_examples=500)
@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join)))
def test_no_text_begins_a_cell_that_runs_whatever_splits_the_line(text: str) -> None:
    shown = escape_formula(text)
    assert not {c for c in shown if ord(c) < 32 or c in "\u202e\u2066\ufeff"}
    for delimiter in ",;\t|":
        for cell in shown.split(delimiter):
            begins = cell.strip(' \xa0"')
            assert not begins.startswith(tuple("=+-@＝－")) or re.fullmatch(r"[+-][0-9]+([.,][0-9]+)?", begins), cell


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ([9, 12, 7], [9, 12, 7]),
        ([0, 12, 7], [0, 12, 7]),
        ([3, 4, 20], [None, None, 20]),
        ([3, 12, 20], [None, None, 20]),  # one alone could be found by subtraction
        ([3, 0, 0], [None, None, None]),  # nothing but zeros to hide it behind
        ([1, 1, 20], [None, None, None]),  # the two together are 2: each is 1
        ([2, 3, 20], [None, None, None]),  # neither is 0, so both lie below 5
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
        {"centre": "b", "n": 4, "pct": 13.3},
        {"centre": "c", "n": 23, "pct": 76.7},
    ]
    assert suppress_rows(rows, "n", bound=5) == [
        {"centre": "a", "n": None, "pct": None},
        {"centre": "b", "n": None, "pct": None},
        rows[2],
    ]


Shown = list[list[int | None]]


def bordered(cells: list[list[int]]) -> list[list[int]]:
    """A table with its row totals, column totals and total."""
    rows = [[*row, sum(row)] for row in cells]
    return [*rows, [sum(column) for column in zip(*rows, strict=True)]]


def published(cells: list[list[int]], bound: int, own: frozenset[tuple[int, int]]) -> Shown:
    inner, rows, columns, total = suppress_table(cells, bound, own)
    return [*([*row, end] for row, end in zip(inner, rows, strict=True)), [*columns, total]]


def limits(shown: Shown, at: tuple[int, int], least: int) -> tuple[float, float]:
    """What a reader who solves the equations can say of one hidden count: at least, at most."""
    n, m = len(shown), len(shown[0])
    lines = [[(i, j) for j in range(m)] for i in range(n)] + [[(i, j) for i in range(n)] for j in range(m)]
    equations = np.zeros((len(lines), n * m))
    for row, line in enumerate(lines):
        for i, j in line:
            equations[row, i * m + j] = -1 if (i, j) == line[-1] else 1
    known = [(least, None) if x is None else (x, x) for row in shown for x in row]
    wanted = np.zeros(n * m)
    wanted[at[0] * m + at[1]] = 1
    low, high = (linprog(sign * wanted, A_eq=equations, b_eq=np.zeros(len(lines)), bounds=known) for sign in (1, -1))
    assert low.status == 0 and high.status in (0, 3)  # 3: nothing bounds it
    return low.fun, np.inf if high.status == 3 else -high.fun


COUNTS = st.one_of(st.integers(0, 6), st.integers(0, 40))
TABLES = st.integers(1, 4).flatmap(lambda m: st.lists(st.lists(COUNTS, min_size=m, max_size=m), min_size=1, max_size=4))


@settings(max_examples=250, deadline=None)
@given(TABLES, st.integers(2, 7), st.booleans())
def test_no_sum_of_a_table_gives_a_small_count_away(cells: list[list[int]], bound: int, first_is_own: bool) -> None:
    """From all that is shown, with totals, nobody learns that a hidden count lies below the bound, nor which it is.

    The reader may know that no hidden count is 0, where no 0 was hidden, and may have the first row in its own files.
    """
    own = frozenset((0, j) for j in range(len(cells[0]))) if first_is_own else frozenset()
    true, shown = bordered(cells), published(cells, bound, own)
    places = [(i, j) for i in range(len(true)) for j in range(len(true[0]))]
    assert all(shown[i][j] in (None, true[i][j]) for i, j in places)
    least = 0 if any(true[i][j] == 0 and shown[i][j] is None for i, j in places) else 1
    for i, j in places:
        own_total = first_is_own and (i == 0 or len(cells) == 1)
        if 0 < true[i][j] < bound and not own_total:
            assert shown[i][j] is None
            low, high = limits(shown, (i, j), least)
            assert high >= bound - 1e-6 and high - low > 1 - 1e-6


def test_only_what_is_needed_is_hidden() -> None:
    """One small count of a table takes three others with it: one of its row, one of its column, and where they meet."""
    shown = published([[3, 20, 30], [9, 40, 50], [60, 70, 80]], 5, frozenset())
    assert shown == [[None, None, 30, 53], [None, None, 50, 99], [60, 70, 80, 210], [72, 130, 160, 362]]
    assert published([[9, 0], [7, 12]], 5, frozenset()) == [[9, 0, 9], [7, 12, 19], [16, 12, 28]]


def test_a_reader_sees_its_own_small_counts_and_no_others() -> None:
    shown = published([[2, 3], [4, 30], [25, 35]], 5, frozenset({(0, 0), (0, 1)}))
    assert shown[0] == [2, 3, 5]
    assert shown[1][0] is None and None in shown[2]
