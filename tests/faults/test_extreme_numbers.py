"""Whatever number a file holds, the tables are made: what staging lets through fits every column that is made of it."""

import shutil
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from pipelines import study
from pipelines.simulate.simulate import simulate
from pipelines.warehouse import Home
from tests.acceptance.line import make, open_study, stage

MOST = {"quantity": ("999999.999", "-999999.999"), "int": ("2147483647", "-2147483648")}
PLACES = ("visitnum", "fraction_no", "progression_no")  # which record it is, not how much of something
SESSIONS = 150  # so many of the largest doses are more than 10^8 Gy


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("extreme")
    simulate(root, patients=8, seed=3)
    stage(Home(root))
    return root


@pytest.mark.parametrize("extreme", ["{most}", "{least}", "case hash(rowid) % 2 when 0 then {most} else {least} end"])
def test_the_largest_numbers_stop_no_table(staged: Path, tmp_path: Path, extreme: str) -> None:
    home = Home(tmp_path)
    shutil.copytree(staged, home.root, dirs_exist_ok=True)
    for path in home.staged.glob("*/*.parquet"):
        if path.stem in study.staged_tables():
            exaggerate(path, extreme)
    with closing(open_study(home)) as con:
        make(con)
        wrong = con.execute("select distinct rule_id from store.validated.rule_counts where status = 'error'")
        assert wrong.fetchall() == []
        if extreme == "{most}":
            doses = con.execute("select max(dose_gy) from store.derived.treated_sites").fetchall()
            assert doses[0][0] > 10**8


def exaggerate(path: Path, extreme: str) -> None:
    """Every number in a staged file becomes the largest or least that staging lets through."""
    columns = study.staged_columns(path.stem)
    with closing(duckdb.connect()) as con:
        con.execute(f"create table t as from '{path}'")
        there = {name for name, *_ in con.execute("describe t").fetchall()}
        if path.stem == "fractions":
            con.execute(f"""
                create or replace table t as select * replace (n::integer as fraction_no)
                from t cross join range(1, {SESSIONS + 1}) s(n) where fraction_no = 1
            """)
        for name, column in columns.items():
            if name in there and column.type in MOST and name not in PLACES:
                most, least = MOST[column.type]
                con.execute(f"update t set {name} = {extreme.format(most=most, least=least)} where {name} is not null")
        con.execute(f"copy t to '{path}' (format parquet)")
