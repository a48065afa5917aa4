"""A large cohort is drawn as an evenly spaced sample: as many as the protocol allows, both ends included."""

import itertools
from collections.abc import Iterator

import duckdb
import pytest

from pipelines import models, study, study_schema, warehouse

MOST = study.protocol()["figure_subjects"]["value"]
READ = (
    "derived.adsl", "derived.treated_sites", "harmonised.exposures", "assessed.target_sums",
    "assessed.timepoint_responses", "assessed.infield_responses", "assessed.irradiated_lesions",
)  # fmt: skip
# subject i shrinks by i millionths of its sum and is followed for i days more than a year
SUBJECTS = """
    insert into derived.adsl by name
    select printf('S%06d', i) as usubjid, 'Y' as eligible_fl, date '2014-01-10' as trtsdt, 'SD' as bor,
        date '2015-01-10' + i::integer as fudt
    from range({n}) r(i);
    insert into assessed.target_sums by name
    select usubjid, 'first_line' as series, v as visitnum, date '2014-01-01' + v::integer * 60 as adt,
        1000 as baseline_mm, case when v > 0 then 1000 end as nadir_mm,
        1000 - v * substr(usubjid, 2)::integer / 1000.0 as sum_mm
    from derived.adsl cross join range(2) r(v);
"""


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    con = warehouse.memory()
    study_schema.create_schema(con)
    for schema in models.LAYERS:
        con.execute(f"create schema {schema}")
    for name in READ:
        columns = ", ".join(f'"{c.name}" {c.sql_type}' for c in study.tables()[name].columns)
        con.execute(f"create table {name} ({columns})")
    yield con
    con.close()


def ranks(con: duckdb.DuckDBPyConnection, name: str, n: int) -> list[int]:
    """Which of `n` subjects a figure's table keeps, by rank."""
    con.execute(SUBJECTS.format(n=n))
    rows = con.execute(f"select distinct rank_no from ({models.load()[name].sql}) order by rank_no").fetchall()
    return [rank for (rank,) in rows]


@pytest.mark.parametrize("name", ["reports.spider", "reports.swimmer"])
@pytest.mark.parametrize("n", [1, MOST - 1, MOST])
def test_a_cohort_that_fits_is_drawn_whole(con: duckdb.DuckDBPyConnection, name: str, n: int) -> None:
    assert ranks(con, name, n) == list(range(1, n + 1))


@pytest.mark.parametrize("name", ["reports.spider", "reports.swimmer"])
@pytest.mark.parametrize("n", [MOST + 1, 2 * MOST + 7, 100 * MOST])
def test_a_larger_one_is_thinned_evenly_and_keeps_both_ends(con: duckdb.DuckDBPyConnection, name: str, n: int) -> None:
    kept = ranks(con, name, n)
    steps = {b - a for a, b in itertools.pairwise(kept)}
    assert len(kept) == MOST and kept[0] == 1 and kept[-1] == n
    assert max(steps) - min(steps) <= 1


def test_the_table_says_of_how_many_it_is_a_sample(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(SUBJECTS.format(n=3 * MOST))
    spider = con.execute(f"select distinct n_measured, n_all from ({models.load()['reports.spider'].sql})").fetchall()
    swimmer = con.execute(f"select distinct n_all from ({models.load()['reports.swimmer'].sql})").fetchall()
    assert (spider, swimmer) == ([(3 * MOST, 3 * MOST)], [(3 * MOST,)])
