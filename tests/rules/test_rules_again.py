"""Rules are judged again for the subjects of whom something changed, and of nobody else."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing

import duckdb
import pytest

from pipelines import warehouse
from pipelines.rules import examples
from pipelines.rules.again import Reach
from pipelines.rules.load import Rule
from pipelines.rules.run import run_rules
from tests.rules.test_rules import RULES, simple

ABOUT_ALL = {"centre_when": "false"}
UP = simple()
BESIDE = simple(name="beside", about=ABOUT_ALL, fails_when="t.course_id = 'X'")
WAITS = simple(name="waits", waits_for=("made/beside",))


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """Three subjects with a fraction that fails each; `held.fractions` is what the name `fractions` resolves to."""
    with closing(warehouse.memory()) as con:
        examples.declare(con, RULES)
        con.execute("attach ':memory:' as slice; attach ':memory:' as store; create schema store.validated")
        con.execute("create schema held; create table held.fractions as from harmonised.fractions")
        con.execute("drop table harmonised.fractions; create table slice.main.touched as select 'S1' as usubjid")
        con.execute("""
            insert into held.fractions by name select usubjid, 'a' as centre, course_id, 12 as dose_gy
            from (values ('S1', 'C'), ('S2', 'C'), ('S3', 'X')) given(usubjid, course_id)
        """)
        con.execute("insert into staged.received by name select 'a' as centre, 1 as n_rows")
        yield con


def judged(
    con: duckdb.DuckDBPyConnection,
    rules: list[Rule],
    touched: str = "",
    whom: Callable[[Iterable[str]], str] | None = None,
) -> list[tuple[str, str]]:
    """Which rule fails for whom, and every run's outcome kept as what was known before the next."""

    def show(where: str) -> None:
        con.execute(f"create or replace view harmonised.fractions as from held.fractions {where and 'where ' + where}")

    run_rules(con, rules, {}, Reach(show, whom=whom or ((lambda tables: touched) if touched else None)))
    for name in ("rule_failures", "rule_counts"):
        con.execute(f"create or replace table store.validated.{name} as from memory.validated.{name}")
    return con.execute("select rule_id[6:], usubjid from validated.rule_failures order by all").fetchall()


def test_what_was_found_of_others_stays(con: duckdb.DuckDBPyConnection) -> None:
    assert judged(con, [UP]) == [("up", "S1"), ("up", "S2"), ("up", "S3")]
    con.execute("update held.fractions set dose_gy = 5 where usubjid <> 'S3'")
    # nobody said that S2 changed
    assert judged(con, [UP], "slice.main.touched") == [("up", "S2"), ("up", "S3")]
    assert con.execute("select n_checked, n_failed from validated.rule_counts").fetchall() == [(3, 2)]


def test_where_nothing_changed_of_anybody_the_counts_stay_too(con: duckdb.DuckDBPyConnection) -> None:
    judged(con, [UP])
    con.execute("delete from slice.main.touched; delete from held.fractions where usubjid <> 'S1'")
    assert judged(con, [UP], "slice.main.touched") == [("up", "S1"), ("up", "S2"), ("up", "S3")]
    assert con.execute("select n_checked, n_failed from validated.rule_counts").fetchall() == [(3, 3)]


def test_rows_without_a_study_code_are_always_judged_again(con: duckdb.DuckDBPyConnection) -> None:
    judged(con, [UP])
    con.execute("update held.fractions set usubjid = null where usubjid = 'S2'")
    con.execute("delete from store.validated.rule_failures where usubjid = 'S2'")
    for _ in range(2):
        assert judged(con, [UP], "slice.main.touched") == [("up", "S1"), ("up", "S3"), ("up", None)]
    con.execute("delete from slice.main.touched; update held.fractions set dose_gy = 5 where usubjid is null")
    assert judged(con, [UP], "slice.main.touched") == [("up", "S1"), ("up", "S3")]


def test_who_waited_for_a_rule_that_sees_everybody_is_judged_again(con: duckdb.DuckDBPyConnection) -> None:
    assert judged(con, [BESIDE, WAITS]) == [("beside", "S3"), ("waits", "S1"), ("waits", "S2")]
    con.execute("update held.fractions set course_id = 'C'")
    assert judged(con, [BESIDE, WAITS], "slice.main.touched") == [("waits", "S1"), ("waits", "S2"), ("waits", "S3")]


def test_what_waits_for_one_that_waits_is_held_back_as_if_all_were_judged(con: duckdb.DuckDBPyConnection) -> None:
    """A waits for B and B for C, but not A for C: where A alone is judged again, B must be, too."""
    about = {"table": "harmonised.courses", "fields": ("course_id",), "message": {"en": "{value}", "it": "{value}"}}
    first = simple(name="a", waits_for=("made/b",), fails_when="true", **about)
    rules = [first, simple(name="b", waits_for=("made/c",)), simple(name="c")]
    con.execute("insert into harmonised.courses by name select 'S1' as usubjid, 'a' as centre, 'C' as course_id")
    everybody = judged(con, rules)
    assert everybody == [("c", "S1"), ("c", "S2"), ("c", "S3")]
    con.execute("create table slice.main.nobody as from slice.main.touched where false")
    moved = {"harmonised.courses": "slice.main.touched"}

    def whom(tables: Iterable[str]) -> str:
        return next((moved[t] for t in tables if t in moved), "slice.main.nobody")

    assert judged(con, rules, whom=whom) == everybody


BREAKS = simple(name="breaks", fails_when="t.course_id::integer > 0")
SEES_ALL = simple(name="beside", about=ABOUT_ALL, waits_for=("made/up",), fails_when="false")


@pytest.mark.parametrize(
    ("before", "now"),
    [([UP], [UP, simple(name="other")]), ([UP, BREAKS], [UP, BREAKS]), ([UP, SEES_ALL], [UP, SEES_ALL])],
    ids=["another rule", "one that breaks", "one that sees everybody and waits"],
)
def test_everybody_is_judged_where_what_was_found_before_says_too_little(
    con: duckdb.DuckDBPyConnection, before: list[Rule], now: list[Rule]
) -> None:
    judged(con, before)
    con.execute("update held.fractions set dose_gy = 5 where usubjid = 'S2'")
    assert ("up", "S2") not in judged(con, now, "slice.main.touched")
