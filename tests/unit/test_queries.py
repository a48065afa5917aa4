"""The list of queries that a centre gets: whose ids it shows, its rank, and that no cell can run."""

import csv
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines import centres, study, warehouse
from pipelines.queries import ASKED, REPLIES, REPLY, centre_queries, write_queries
from pipelines.warehouse import Home

CENTRE = sorted(centres.load_all(study.ROOT / "centres"))[0]
FINDINGS: list[dict[str, Any]] = [
    {"query_id": "Q1", "usubjid": "S-001", "record_key": "S-001|L1|visit 2", "table_name": "assessed.adtr",
     "rule_id": "recist/modality_changed", "severity": "query", "value_received": "mri"},
    {"query_id": "Q2", "usubjid": "S-001", "record_key": f"S-001|{CENTRE}|Fatigue", "rule_id": "ctcae/grade",
     "table_name": "harmonised.adverse_events", "severity": "query", "value_received": "=1+1"},
    {"query_id": "Q3", "usubjid": "S-001", "record_key": "S-001", "rule_id": "eligibility/ecog",
     "table_name": "validated.screening", "severity": "exclude", "value_received": "2"},
    {"query_id": "Q4", "record_key": "abc", "rule_id": "structure/no_study_code", "table_name": "staged.labs",
     "severity": "query", "source_row": "7"},
    {"query_id": "Q5", "usubjid": "S-001", "record_key": "S-001", "rule_id": "ctcae/grade_range",
     "table_name": "harmonised.adverse_events", "severity": "note"},
    {"query_id": "Q6", "usubjid": "S-002", "record_key": "S-002", "rule_id": "eligibility/ecog", "centre": "elsewhere",
     "table_name": "validated.screening", "severity": "exclude"},
]  # fmt: skip
GIVEN = {
    "centre": CENTRE, "field": "f", "local_message": "Problem", "local_suggestion": "Do", "state": "new",
    "source_file": "a.csv", "source_row": "3", "first_delivery": f"{CENTRE}-2017-04-02_export-0a1b2c3d",
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[duckdb.DuckDBPyConnection, Home]]:
    with closing(warehouse.memory()) as con:
        home = Home(tmp_path)
        folder = home.staged / CENTRE
        folder.mkdir(parents=True)
        columns = ", ".join(f"{c.name} {c.sql_type}" for c in study.tables()["validated.findings"].columns)
        con.execute(f"create schema validated; create table validated.findings ({columns})")
        for finding in FINDINGS:
            values = ", ".join(f"{study.sql_literal(v)} as {k}" for k, v in {**GIVEN, **finding}.items())
            con.execute(f"insert into validated.findings by name select {values}")
        con.execute(f"copy (select 'S-001' as usubjid, '0042' as local_id) to '{folder / 'links.parquet'}'")
        con.execute(f"""
            copy (select null::varchar as usubjid, '0077' as local_id, 'structure/no_study_code' as rule_id,
                'a.csv' as source_file, '7' as source_row, 'f' as field) to '{folder / "findings.parquet"}'
        """)
        yield con, home


def test_queries_are_ranked_and_name_the_patient_as_the_centre_does(
    store: tuple[duckdb.DuckDBPyConnection, Home],
) -> None:
    found = centre_queries(*store, CENTRE)
    assert [(q["query_id"], q["priority"], q["local_id"]) for q in found] == [
        ("Q3", "endpoint", "0042"), ("Q1", "endpoint", "0042"), ("Q2", "safety", "0042"), ("Q4", "safety", "0077"),
    ]  # fmt: skip
    assert tuple(found[0]) == ASKED
    assert (found[1]["form"], found[1]["visit"]) == ("Lesion assessments: L1", "2")
    assert found[2]["form"] == "Adverse events: Fatigue", "the centre's own name says nothing"
    reply_days = study.protocol()["reply_days"]["value"]
    assert reply_days == 30 and (found[0]["first_seen"], found[0]["due_date"]) == ("2017-04-02", "2017-05-02")


def test_no_study_code_of_another_centre_leaves_the_house(store: tuple[duckdb.DuckDBPyConnection, Home]) -> None:
    assert "S-002" not in str(centre_queries(*store, CENTRE))


def test_the_csv_opens_in_the_centres_spreadsheet(
    store: tuple[duckdb.DuckDBPyConnection, Home], tmp_path: Path
) -> None:
    _, path = write_queries(*store, CENTRE, tmp_path / "out")
    assert path.name == "queries.csv" and path.read_bytes().startswith(b"\xef\xbb\xbf")
    delimiter = centres.load(study.ROOT / "centres" / CENTRE).queries_delimiter
    with path.open(encoding="utf-8-sig", newline="") as file:
        head, *rows = csv.reader(file, delimiter=delimiter)
    assert tuple(head) == ASKED + REPLY
    assert [len(row) for row in rows] == [len(head)] * 4
    assert rows[2][head.index("value_received")] == "'=1+1"


def test_the_workbook_takes_only_replies(store: tuple[duckdb.DuckDBPyConnection, Home], tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    path, _ = write_queries(*store, CENTRE, tmp_path / "out")
    sheet = openpyxl.load_workbook(path)["queries"]
    assert sheet.protection.sheet
    head = [cell.value for cell in sheet[1]]
    assert tuple(head) == ASKED + REPLY
    assert {name: cell.protection.locked for name, cell in zip(head, sheet[2], strict=True)} == {
        name: name not in REPLY for name in head
    }
    assert all(cell.data_type != "f" for row in sheet.iter_rows() for cell in row)
    choices = [v for v in sheet.data_validations.dataValidation if v.type == "list"]
    assert choices[0].formula1 == '"' + ",".join(REPLIES) + '"'
    again, _ = write_queries(*store, CENTRE, tmp_path / "again")
    assert path.read_bytes() == again.read_bytes()
