"""Medians by the rule of R's survfit, exact limits as R's binom.test gives them."""

import itertools
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction

import duckdb
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


# Remission of leukaemia in weeks (Freireich 1963); + is censored
MERCAPTOPURINE = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
PLACEBO = "1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with closing(warehouse.memory()) as con:
        study.create_schema(con)
        con.execute("create schema derived; create schema reports")
        con.execute("""
            create table derived.adtte
                (paramcd varchar, lesion_id varchar, aval_days integer, aval_months double, cnsr integer)
        """)
        for paramcd, times in (("PFS1", MERCAPTOPURINE), ("PFS2", PLACEBO)):
            con.execute(f"""
                insert into derived.adtte
                select '{paramcd}', null, replace(t, '+', '')::int, replace(t, '+', '')::double, (t like '%+')::int
                from (select unnest(string_split('{times}', ' ')) as t)
            """)
        yield con


def test_curve_and_limits_are_those_of_survfit(con: duckdb.DuckDBPyConnection) -> None:
    """summary(survfit(Surv(time, status) ~ 1, conf.type = "log-log")); the same listing: Stata's sts list."""
    summarise(con)
    found = con.execute("""
        select t_months, n_at_risk, n_event, round(survival, 4), round(lcl, 4), round(ucl, 4)
        from reports.survival_curve where paramcd = 'PFS1' and n_event > 0 order by t_months
    """).fetchall()
    assert found == [
        (6, 21, 3, 0.8571, 0.6197, 0.9516),
        (7, 17, 1, 0.8067, 0.5631, 0.9228),
        (10, 15, 1, 0.7529, 0.5032, 0.8894),
        (13, 12, 1, 0.6902, 0.4316, 0.8491),
        (16, 11, 1, 0.6275, 0.3675, 0.8049),
        (22, 7, 1, 0.5378, 0.2678, 0.7468),
        (23, 6, 1, 0.4482, 0.1881, 0.6801),
    ]


def test_medians_and_their_limits_are_those_of_survfit(con: duckdb.DuckDBPyConnection) -> None:
    """Median 23 (13 to not reached) and 8 (4 to 11)."""
    summarise(con)
    assert con.execute("from reports.pfs_summary order by paramcd").fetchall() == [
        ("PFS1", 21, 9, 12, 23, 13, None, 6, 35),
        ("PFS2", 21, 21, 0, 8, 4, 11, 1, 23),
    ]


def test_a_limit_that_is_missing_is_not_reached(con: duckdb.DuckDBPyConnection) -> None:
    """survfit(Surv(1:2) ~ 1, conf.type = "log-log"): median 1.5, upper limit NA, as the curve ends at 0."""
    con.execute("delete from derived.adtte where paramcd = 'PFS1' or aval_days not in (17, 22)")
    summarise(con)
    assert con.execute("select median_months, median_ucl from reports.pfs_summary").fetchall() == [(19.5, None)]
    assert con.execute("select lcl, ucl from reports.survival_curve where survival = 0").fetchall() == [(None, None)]


def test_lesions_are_not_counted_as_patients(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("insert into derived.adtte values ('PFS1', 'L1', 1, 1, 0)")
    summarise(con)
    assert con.execute("select n, min_months from reports.pfs_summary where paramcd = 'PFS1'").fetchall() == [(21, 6)]


def test_nobody_gives_empty_tables(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("delete from derived.adtte")
    summarise(con)
    for table in ("pfs_summary", "survival_curve"):
        declared = [c.name for c in study.tables()[f"reports.{table}"].columns]
        cursor = con.execute(f"from reports.{table}")
        assert [c[0] for c in cursor.description or []] == declared and cursor.fetchall() == []


def test_exact_limits_are_those_of_binom_test(con: duckdb.DuckDBPyConnection) -> None:
    """binom.test(9, 28)$conf.int: 0.1588 to 0.5235; binom.test(0, 28): 0 to 0.1234; binom.test(28, 28): 0.8766 to 1."""
    con.execute("create table reports.response_counts as select 0 as n_cr, 9 as n_pr, 19 as n_sd, 28 as n")
    con.execute("create table reports.toxicity_counts as select 0 as n_any, 0 as n_grade34, 28 as n_denominator")
    con.execute("insert into reports.toxicity_counts values (0, 0, 0)")  # of nobody: no proportion
    exact_limits(con)
    found = con.execute(
        "select n, round(lcl_pct, 2), round(ucl_pct, 2) from reports.exact_limits order by n"
    ).fetchall()
    assert found == [(0, 0.0, 12.34), (9, 15.88, 52.35), (28, 87.66, 100.0)]
