"""Any value that a centre's export writes reads back as the same value or as a finding, never as another value."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from test_staged_equals_truth import FOLDER, NAMES, comparable, take_in

from pipelines import study, warehouse
from pipelines.simulate import truth
from pipelines.simulate.cohort import random_cohort
from pipelines.warehouse import Home

# columns that no other column of the world follows from, and that no key holds
FREE = {
    "measurements": ("diameter_mm", "lesion_state"),
    "responses": ("sum_mm", "overall_response"),
    "labs": ("lbstresn", "lbstnrlo", "lbstnrhi"),
    "lesions": ("tudt", "lesion_role", "measurable_fl"),
    "exposures": ("exendt", "exdose_mg", "exadj"),
    "followup": ("fudt", "death_dt", "next_therapy_dt"),
    "adverse_events": ("aeendt", "aerel", "aeout"),
    "restagings": ("response", "finding", "method", "field_relation", "isodose_pct"),
    "criteria": ("ieorres",),
    "progressions_reported": ("pattern",),
    "subjects": ("age_years", "histology", "ecog"),
}
ANY = {  # a value of each type from a number `n`
    "DATE": "date '1950-01-01' + (n % 30000)::int",
    "INTEGER": "(n % 1000)::int",
    # of any size and of none to three decimals
    "DECIMAL(9,3)": "(((n % 10 ** (1 + n % 9)::int)::int // 10 ** (n // 16 % 4)::int * 10 ** (n // 16 % 4)::int)"
    "::decimal(18,3) / 1000)::decimal(9,3)",
    # one of the codes that are there, because a hospital has words for these
    "VARCHAR": "words[1 + (n % len(words))::int]",
}


def scatter(con: duckdb.DuckDBPyConnection, seed: int) -> None:
    """Put any value into every free column of the world that holds one; whatever made sense no longer does."""
    for table, columns in FREE.items():
        kinds = {name: kind for name, kind, *_ in con.execute(f"describe world.{table}").fetchall()}
        for column in columns:
            value = ANY[kinds[column]]
            if column == "sum_mm":
                value = f"round({value}, 2)"  # a hospital writes centimetres, to a hundredth of a millimetre
            con.execute(f"""
                create or replace temp table any_value as
                select w.rowid as row, {value} as value from (
                    select rowid, (hash(rowid, {seed}, '{column}') % 1000000007)::bigint as n,
                        (select list(distinct {column} order by {column}) from world.{table}) as words
                    from world.{table} where {column} is not null
                ) w;
                update world.{table} set {column} = value from any_value where {table}.rowid = row
            """)


@pytest.fixture(scope="module", params=[1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, 12))])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, object]]:
    units = {e["unit"]: e["centre"] for e in map(study.read_yaml, sorted(FOLDER.glob("[!_]*/export.yaml")))}
    with warehouse.memory() as con:
        cohort, lesions = random_cohort(con, 60, request.param, tmp_path_factory.mktemp("cohort"))
        truth.build(con, cohort, lesions, 1, units)
        scatter(con, request.param)
        yield request.param, con


@pytest.mark.parametrize("name", NAMES)
def test_a_value_reads_back_or_is_asked_for(
    world: tuple[int, duckdb.DuckDBPyConnection], name: str, tmp_path: Path
) -> None:
    seed, con = world
    centre, folder = take_in(con, name, FOLDER / name / "export.yaml", Home(tmp_path), bulk=seed % 2 == 0)
    differences = {}
    for table, parts in centre.tables.items():
        filled = {f.name for part in parts for f in part.fields if not f.name.startswith("_")} - {"local_id"}
        filled |= {"usubjid"} | {c for part in parts for roll in part.rollups for c in roll.get("count", ())}
        staged = f"read_parquet('{folder / f'{table}.parquet'}')"
        right = comparable(filled, f"world.{table} where centre = '{name}'")
        read = f"from ({comparable(filled | {'_bad'}, staged)}) where _bad is null"
        wrong = con.execute(f"select {', '.join(sorted(filled))} {read} except all ({right})").fetchall()
        counted = f"select count(*), (select count(*) from ({right})) from {staged}"
        ((n_staged, n_true),) = con.execute(counted).fetchall()
        if wrong or n_staged != n_true:
            differences[table] = (sorted(filled), wrong[:3], len(wrong), n_staged, n_true)
    assert differences == {}


def test_the_values_are_scattered(world: tuple[int, duckdb.DuckDBPyConnection]) -> None:
    """Whole numbers, and one, two and three decimals; small and great ones; days of many years."""
    _, con = world
    scales = con.execute("select distinct (lbstresn * 1000)::int % 1000 = 0 from world.labs").fetchall()
    assert len(scales) == 2
    assert con.execute("select count(distinct year(tudt)) > 20 from world.lesions").fetchall() == [(True,)]
