"""What a centre reads of the others beside its own figures."""

from contextlib import closing
from typing import Any

import duckdb
import pytest

from pipelines import study, warehouse
from pipelines.reports.centre_report import words
from pipelines.reports.key_figures import key_figures

BOUND = study.protocol()["small_cell_bound"]["value"]
LEAST = study.protocol()["key_figure_min_n"]["value"]


def figures(rows: list[tuple[Any, ...]], flags: tuple[Any, ...] | None = None) -> dict[str, dict[str, Any]]:
    """The key figures of centre `own` by name; rows: centre, n_back, figure, n_with, n, value."""
    with closing(warehouse.memory()) as con:
        make(con, rows, flags)
        found = key_figures(con, "own", words("en"))
    order = list(words("en")["figures"])
    return dict(zip(order, found, strict=True))


def make(con: duckdb.DuckDBPyConnection, rows: list[tuple[Any, ...]], flags: tuple[Any, ...] | None) -> None:
    con.execute("create schema reports")
    for name in ("reports.centre_figures", "reports.centre_funnel"):
        listed = ", ".join(f"{c.name} {c.sql_type}" for c in study.tables()[name].columns)
        con.execute(f"create table {name} ({listed})")
    con.executemany(
        "insert into reports.centre_figures (centre, n_back, figure, n_with, n, value) values (?, ?, ?, ?, ?, ?)", rows
    )
    if flags:
        con.execute(
            "insert into reports.centre_funnel (centre, measure, limits_pct, lower_pct, upper_pct, flag) "
            "values ('own', 'completeness', 95, ?, ?, ?)",
            list(flags),
        )


def share(centre: str, n_with: int, n: int, n_back: int = 0) -> tuple[Any, ...]:
    return centre, n_back, "completeness", n_with, n, 100 * n_with / n


OTHERS = [share("a", 90, 100), share("b", 80, 100)]


def test_a_share_stands_beside_its_previous_value_the_median_and_its_limits() -> None:
    shown = figures([share("own", 70, 100), share("own", 60, 100, n_back=1), *OTHERS], (72.0, 88.0, "low"))
    assert {k: v for k, v in shown["completeness"].items() if k not in ("label", "what", "inner")} == {
        "own": "70 % (70/100)", "before": "60 % (60/100)", "median": "80 %", "limits": "72 %–88 %", "verdict": "below",
    }  # fmt: skip


@pytest.mark.parametrize(("n_with", "n", "text"), [(999, 1000, "99.9 %"), (1000, 1000, "100 %"), (1, 1000, "0.1 %")])
def test_a_share_that_is_not_all_is_not_printed_as_all(n_with: int, n: int, text: str) -> None:
    assert figures([share("own", n_with, n), *OTHERS])["completeness"]["own"] == f"{text} ({n_with}/{n})"


def test_a_share_of_few_is_not_shown() -> None:
    assert figures([share("own", 1, LEAST - 1), *OTHERS])["completeness"]["own"] == f"n too small (n = {LEAST - 1})"
    assert figures([share("own", 1, LEAST), *OTHERS])["completeness"]["own"].startswith("20 %")


@pytest.mark.parametrize(
    "others",
    [
        [share("a", 100, 100), share("b", 101 - BOUND, 100)],  # fewer than the bound are missing with the others
        [share("a", 1, 100), share("b", 2, 100)],  # fewer than the bound are there
        [share("a", 90, 100)],  # a median of two tells one about the other
    ],
)
def test_what_would_tell_a_small_count_of_the_others_is_hidden(others: list[tuple[Any, ...]]) -> None:
    shown = figures([share("own", 70, 100), *others], (72.0, 88.0, "low"))["completeness"]
    assert (shown["median"], shown["limits"], shown["verdict"]) == ("–", "–", "")


@pytest.mark.parametrize(("counts", "text"), [((10, 20), "10"), ((1, 2), "–"), ((0, 0), "0"), ((3, 30), "–")])
def test_a_small_median_of_counts_is_hidden(counts: tuple[int, int], text: str) -> None:
    """The own count is 4, and so is the median of 3, 4 and 30."""
    rows = [(c, 0, "queries_open", None, None, n) for c, n in zip(("own", "a", "b"), (4, *counts), strict=True)]
    if counts == (0, 0):
        rows[0] = ("own", 0, "queries_open", None, None, 0)
    assert figures(rows)["queries_open"]["median"] == text


def test_what_does_not_apply_says_so() -> None:
    assert figures([("own", 0, "restaging_on_time", None, None, None)])["restaging_on_time"]["own"] == "does not apply"
