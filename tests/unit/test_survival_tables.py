"""The study's statistics as tables: what is counted, what stays empty, who is compared and who is flagged."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import duckdb
import pytest

from pipelines import models, study, study_schema, warehouse
from pipelines.survival.tables import SURVIVAL_TABLES, centre_funnel, exact_limits, survival

# Remission of leukaemia in weeks (Freireich 1963); + is censored
MERCAPTOPURINE = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
PLACEBO = "1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """Two endpoints that run from the first dose; nobody is grouped yet, and months are days here."""
    with closing(warehouse.memory()) as con:
        study_schema.create_schema(con)
        con.execute("create schema derived; create schema reports")
        con.execute("""
            create table derived.adtte (
                usubjid varchar, paramcd varchar, lesion_id varchar, aval_days integer, aval_months double,
                cnsr integer, evntdesc varchar
            )
        """)
        columns = ", ".join(f"{c.name} {c.sql_type}" for c in study.tables()["derived.adsl"].columns)
        con.execute(f"create table derived.adsl ({columns})")
        for paramcd, times in (("PFS1", MERCAPTOPURINE), ("PFSTOT", PLACEBO)):
            add(con, paramcd, times)
        yield con


def add(con: duckdb.DuckDBPyConnection, paramcd: str, times: str, **more: str) -> None:
    """Subjects S1, S2, … of an endpoint with these times; `more`: SQL of other columns, where t is the time's text."""
    values = {"lesion_id": "null", "evntdesc": "null", "usubjid": "'S' || place"} | more
    con.execute(f"""
        insert into derived.adtte by name
        select
            {values["usubjid"]} as usubjid, '{paramcd}' as paramcd, {values["lesion_id"]} as lesion_id,
            replace(t, '+', '')::int as aval_days, replace(t, '+', '')::double as aval_months,
            (t like '%+')::int as cnsr, {values["evntdesc"]} as evntdesc
        from (select unnest(x) as t, generate_subscripts(x, 1) as place from (select string_split('{times}', ' ') as x))
    """)


def rows(con: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return con.execute(query).fetchall()


def test_curve_and_limits_are_those_of_survfit(con: duckdb.DuckDBPyConnection) -> None:
    """summary(survfit(Surv(time, status) ~ 1, conf.type = "log-log")); the same listing: Stata's sts list."""
    survival(con)
    found = rows(
        con,
        """
        select t_months, n_at_risk, n_event, round(survival, 4), round(lcl, 4), round(ucl, 4)
        from reports.survival_curve where paramcd = 'PFS1' and n_event > 0 order by t_months
        """,
    )
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
    survival(con)
    found = rows(con, f"select * from ({models.load()['reports.pfs_summary'].sql}) order by paramcd")
    assert found == [("PFS1", 21, 9, 12, 23, 13, None, 6, 35), ("PFSTOT", 21, 21, 0, 8, 4, 11, 1, 23)]


def test_times_at_which_curves_are_printed_are_the_protocols(con: duckdb.DuckDBPyConnection) -> None:
    """Beyond the last follow-up (23) nothing is estimated, though the curve has come to 0 there."""
    survival(con)
    found = rows(
        con, "select t_months, n_at_risk, round(survival, 4) from reports.survival_at_times where paramcd = 'PFSTOT'"
    )
    assert [row[0] for row in found] == study.protocol()["survival_times_months"]["value"]
    assert found == [(6, 12, 0.5714), (12, 6, 0.1905), (24, None, None)]


def test_a_limit_that_is_missing_is_not_reached(con: duckdb.DuckDBPyConnection) -> None:
    """survfit(Surv(1:2) ~ 1, conf.type = "log-log"): median 1.5, upper limit NA, as the curve ends at 0."""
    con.execute("delete from derived.adtte")
    add(con, "PFS1", "17 22")
    survival(con)
    assert rows(con, "select median_months, median_ucl from reports.survival_summary") == [(19.5, None)]
    assert rows(con, "select lcl, ucl from reports.survival_curve where survival = 0") == [(None, None)]


def test_lesions_are_not_counted_as_patients(con: duckdb.DuckDBPyConnection) -> None:
    add(con, "PFS1", "1", lesion_id="'L1'")
    survival(con)
    found = rows(con, "select counted, n, min_months from reports.survival_summary where paramcd = 'PFS1'")
    assert found == [("subject", 21, 6)]


def test_an_endpoint_by_lesion_counts_lesions_and_says_so(con: duckdb.DuckDBPyConnection) -> None:
    add(con, "LOCALCTRL", "3 4+ 5", lesion_id="'L' || place", usubjid="'S1'")
    survival(con)
    found = rows(con, "select counted, n, median_months from reports.survival_summary where paramcd = 'LOCALCTRL'")
    assert found == [("lesion", 3, 5)]


def test_kinds_of_event_add_up_to_what_the_curve_has_lost(con: duckdb.DuckDBPyConnection) -> None:
    first, death = (step["description"] for step in study.endpoints()[0]["events"])
    con.execute(f"""
        update derived.adtte set evntdesc = case when usubjid in ('S3', 'S5') then '{death}' else '{first}' end
        where cnsr = 0 and paramcd = 'PFS1'
    """)
    survival(con)
    found = rows(
        con,
        """
        select c.t_months, sum(i.incidence), 1 - any_value(c.survival), sum(i.n_event), any_value(c.n_event)
        from reports.cumulative_incidence i join reports.survival_curve c using (paramcd, t_months)
        where paramcd = 'PFS1' group by c.t_months
        """,
    )
    assert len(found) == 16
    for _, incidence, lost, of_kinds, events in found:
        assert incidence == pytest.approx(lost, abs=1e-12) and of_kinds == events
    assert {kind for (kind,) in rows(con, "select distinct evntdesc from reports.cumulative_incidence")} == {
        first,
        death,
    }


def test_groups_are_compared_from_dates_at_which_they_are_known(con: duckdb.DuckDBPyConnection) -> None:
    """coin::logrank_test and survdiff of the leukaemia data: chi-square 16.793, p 0.0000417."""
    con.execute("delete from derived.adtte")
    add(con, "PFS1", MERCAPTOPURINE, usubjid="'A' || place")
    add(con, "PFS1", PLACEBO, usubjid="'B' || place")
    con.execute("""
        insert into derived.adsl by name
        select distinct usubjid, left(usubjid, 1) as sex, 'Y' as stereotactic_fl, null as siteid from derived.adtte
    """)
    survival(con)
    found = rows(
        con,
        """
        select grouping, group_key, n, median_months, round(logrank_chisq, 3), logrank_df, round(logrank_p, 7)
        from reports.survival_summary order by grouping, group_key
        """,
    )
    # nobody has a centre, and how somebody was irradiated is not known at the first dose
    assert found == [
        ("all", "all", 42, 12, None, None, None),
        ("sex", "A", 21, 23, 16.793, 1, 0.0000417),
        ("sex", "B", 21, 8, 16.793, 1, 0.0000417),
    ]
    assert rows(con, "select distinct grouping, group_key from reports.survival_curve_by_group order by all") == [
        ("sex", "A"),
        ("sex", "B"),
    ]


def test_nobody_gives_empty_tables(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("delete from derived.adtte")
    survival(con)
    for table in SURVIVAL_TABLES:
        declared = [c.name for c in study.tables()[table].columns]
        cursor = con.execute(f"from {table}")
        assert [c[0] for c in cursor.description or []] == declared and cursor.fetchall() == []


def test_exact_limits_are_those_of_binom_test(con: duckdb.DuckDBPyConnection) -> None:
    """binom.test(9, 28)$conf.int: 0.1588 to 0.5235; binom.test(0, 28): 0 to 0.1234; binom.test(28, 28): 0.8766 to 1."""
    con.execute("create table reports.response_counts as select 0 as n_cr, 9 as n_pr, 19 as n_sd, 28 as n")
    con.execute("create table reports.toxicity_counts as select 0 as n_any, 0 as n_grade34, 28 as n_denominator")
    con.execute("insert into reports.toxicity_counts values (0, 0, 0)")  # of nobody: no proportion
    exact_limits(con)
    found = rows(con, "select n, round(lcl_pct, 2), round(ucl_pct, 2) from reports.exact_limits order by n")
    assert found == [(0, 0.0, 12.34), (9, 15.88, 52.35), (28, 87.66, 100.0)]


def test_a_centre_outside_the_limits_is_flagged_unless_it_is_small(con: duckdb.DuckDBPyConnection) -> None:
    """qbinom(c(0.025, 0.975), 40, 0.5): 14 and 26; qbinom(c(0.001, 0.999), 40, 0.5): 10 and 30."""
    fewest = study.protocol()["funnel_min_n"]["value"]
    con.execute(
        "create table reports.centre_counts (measure varchar, centre varchar, centre_kind varchar, n_with int, n int)"
    )
    con.execute(f"""
        insert into reports.centre_counts values
            ('m', 'a', 'k', 27, 40), ('m', 'b', 'k', 13, 40), ('m', 'c', 'k', 31, 40), ('m', 'd', 'k', 9, 40),
            ('m', 'e', 'k', 0, {fewest - 1}), ('m', 'f', 'k', {fewest - 1}, {fewest - 1}), ('m', 'g', 'k', 0, 0)
    """)
    centre_funnel(con)
    found = rows(
        con, "select centre, limits_pct, lower_n, upper_n, flag from reports.centre_funnel where n = 40 order by all"
    )
    assert found == [
        ("a", 95, 14, 26, "high"),
        ("a", 99.8, 10, 30, "within"),
        ("b", 95, 14, 26, "low"),
        ("b", 99.8, 10, 30, "within"),
        ("c", 95, 14, 26, "high"),
        ("c", 99.8, 10, 30, "high"),
        ("d", 95, 14, 26, "low"),
        ("d", 99.8, 10, 30, "low"),
    ]
    small = rows(con, "select distinct centre, overall_pct, flag from reports.centre_funnel where n < 40 order by all")
    assert small == [("e", 50, None), ("f", 50, None)]
