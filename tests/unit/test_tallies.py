"""What is counted of each delivery, and that later deliveries leave the counts of earlier ones alone."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipelines import models, study, warehouse
from pipelines.deliveries.ledger import Delivery
from pipelines.deliveries.tallies import TALLIES, write_tallies
from pipelines.orchestration.take_in import TECHNICAL, declare_staged
from pipelines.study import sql_literal as lit

Stage = Callable[..., Path]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Makes a staged state: every table empty, but those named have rows (tuples of column -> SQL)."""
    with closing(warehouse.memory()) as con:
        declare_staged(con, tmp_path)

    def made(name: str, **tables: list[dict[str, str]]) -> Path:
        folder = tmp_path / name
        shutil.copytree(
            tmp_path / "_declared", folder, ignore=shutil.ignore_patterns(*(f"{t}.parquet" for t in TALLIES))
        )
        with closing(warehouse.memory()) as con:
            for table, given in tables.items():
                target = lit(str(folder / f"{table}.parquet"))
                con.execute(f"create table {table} as from {target}")
                for row in given:
                    con.execute(f"insert into {table} ({', '.join(row)}) values ({', '.join(row.values())})")
                con.execute(f"copy {table} to {target} (format parquet)")
        return folder

    return made


def delivery(number: int) -> Delivery:
    return Delivery(f"d{number}", "c1", f"n{number}", "2016-05-01", f"2016-0{number}-01", {}, "accepted")


def rows(folder: Path, table: str, columns: str) -> list[tuple[Any, ...]]:
    with closing(warehouse.memory()) as con:
        return con.execute(f"select {columns} from {lit(str(folder / f'{table}.parquet'))}").fetchall()


def test_a_field_is_due_where_its_declaration_says_and_what_could_not_be_read_is_no_gap_only(stage: Stage) -> None:
    draft = stage(
        "one",
        lesions=[{"local_id": "'1'", "lesion_id": f"'L{i}'", "lesion_role": r}
                 for i, r in ((1, "'target'"), (2, "null"))],
        measurements=[
            {"local_id": "'1'", "lesion_id": lesion, "lesion_state": state, "diameter_mm": mm}
            for lesion, state, mm in (
                ("'L1'", "'present'", "12"), ("'L1'", "'present'", "null"), ("'L1'", "'absent'", "null"),
                ("'L2'", "'present'", "null"),
            )
        ],
        findings=[
            {"table_name": "'measurements'", "staged_field": "'diameter_mm'", "value_received": "'ca. 12'"},
            {"table_name": "'measurements'", "staged_field": "'method'", "value_received": "null"},
        ],
    )  # fmt: skip
    write_tallies(delivery(1), None, draft)
    counted = {(t, f): n for t, f, *n in rows(draft, "field_counts", "table_name, field, n_rows, n_given, n_unread")}
    assert counted["measurements", "diameter_mm"] == [2, 1, 1]
    assert counted["measurements", "lesion_id"] == [4, 4, 0]
    assert counted["measurements", "method"] == [4, 0, 0]
    assert counted["lesions", "lesion_role"] == [2, 1, 0]
    assert not any(f.startswith("_") or f in study.PROVENANCE or t == "labs" for t, f in counted)


def test_days_to_the_restaging_run_from_the_last_fraction_before_it(stage: Stage) -> None:
    draft = stage(
        "one",
        fractions=[
            {"local_id": "'1'", "fxdt": f"'{day}'", "dose_gy": dose}
            # one was not given, and one is of a course after the restaging
            for day, dose in (("2014-03-01", "8"), ("2014-03-05", "8"), ("2014-03-09", "0"), ("2014-08-01", "8"))
        ],
        courses=[{"local_id": "'2'", "rtendt": "'2014-01-31'"}],
        restagings=[
            {"local_id": who, "target_id": target, "rsdt": day, "restaging_fl": mark, "response": response}
            for who, target, day, mark, response in (
                ("'1'", "'T1'", "'2014-05-04'", "'Y'", "'PR'"), ("'1'", "'T2'", "'2014-05-04'", "'Y'", "null"),
                ("'1'", "'T1'", "'2014-09-04'", "'Y'", "'PD'"), ("'1'", "'T3'", "'2014-04-04'", "'N'", "'SD'"),
                ("'2'", "'T1'", "'2014-02-02'", "'Y'", "'SD'"), ("'3'", "'T1'", "'2014-02-02'", "'Y'", "'SD'"),
            )
        ],
    )  # fmt: skip
    write_tallies(delivery(1), None, draft)
    assert rows(draft, "restaging_waits", "n_days, n_rows, n_reported") == [(2, 1, 1), (60, 2, 1)]


def test_a_later_delivery_stands_below_the_earlier_ones(stage: Stage) -> None:
    received = [{"source": "'labs'", "n_rows": "7"}, {"source": "'labs'", "n_rows": "3"}, {"source": "null"}]
    first, second = stage("one", received=received), stage("two", received=received[:1])
    write_tallies(delivery(1), None, first)
    write_tallies(delivery(2), first, second)
    columns = "centre, delivery_id, delivery_dt::varchar, n_delivery, source, n_files, n_rows"
    assert rows(second, "source_counts", columns) == [
        ("c1", "d1", "2016-01-01", 1, "labs", 2, 10), ("c1", "d2", "2016-02-01", 2, "labs", 1, 7),
    ]  # fmt: skip


def test_every_technical_table_is_shown_to_the_models() -> None:
    assert {*models.TECHNICAL, *models.LIFE} == set(TECHNICAL)
