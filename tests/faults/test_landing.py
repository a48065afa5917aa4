"""What rejects a delivery and what does not: each message names file, row or column, what was expected, what to do."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import openpyxl
import pytest

from pipelines.centres import Centre, load
from pipelines.deliveries.intake import intake
from pipelines.deliveries.land import land
from pipelines.errors import DeliveryRejected
from pipelines.warehouse import Home

MAPPING = """
centre: north
title: An invented unit
kind: oncology
language: en
missing: [""]
sources:
  log:
    files: "log*.csv"
    read: {format: csv, encoding: utf-8, delimiter: ";"}
    key: [ID]
    guard: {Name: [QA, TEST]}
    drop_rows:
      - {where: {Name: {in: [TEST]}}, reason: test_patient}
    ignore: [Known, Telefono fisso noto]
    or:
      - {files: "log*.xlsx", read: {format: xlsx, sheet: Log}}
      - {files: "twin.csv", read: {format: csv, encoding: utf-8, delimiter: ","}}
  extra:
    files: "extra.csv"
    required: false
    read: {format: csv, encoding: utf-8, delimiter: ";"}
tables:
  links:
    - source: log
      fields:
        local_id: {from: ID}
        usubjid: {from: Code}
"""
GOOD = "ID;Code;Known\n1;X-1;a\n2;X-2;b\n"


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    folder = tmp_path / "centres" / "north"
    folder.mkdir(parents=True)
    (folder / "centre.yaml").write_text(MAPPING, encoding="utf-8")
    return load(folder)


def landed(tmp_path: Path, centre: Centre, files: dict[str, str | bytes]) -> Path:
    """Deliver and land; returns the folder of the landed files."""
    home = Home(tmp_path / "home")
    folder = home.inbox / centre.name / "2015-01-01"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (delivery,) = intake(home, [centre.name])
    land(home, centre, delivery)
    return home.landed / centre.name / delivery.delivery_id


def rows(path: Path, columns: str) -> list[tuple[object, ...]]:
    return duckdb.connect().execute(f"select {columns} from '{path}'").fetchall()


def test_named_columns_land_as_text_with_the_place_they_came_from(tmp_path: Path, centre: Centre) -> None:
    folder = landed(tmp_path, centre, {"log.csv": GOOD, "notes.txt": "x"})
    assert rows(folder / "log.parquet", '* exclude (delivery_id, file_sha256, "guarded Name")') == [
        ("log.csv", "2", "1", "X-1"),
        ("log.csv", "3", "2", "X-2"),
    ]
    assert rows(folder / "_received.parquet", "source, source_file, n_rows") == [
        ("log", "log.csv", 2),
        (None, "notes.txt", None),
    ]
    assert rows(folder / "_notes.parquet", "rule_id, source, field") == [("structure/missing_file", "extra", None)]


@pytest.mark.parametrize(("form", "place"), [("csv", "3"), ("xlsx", "Log!3")])
def test_an_unknown_column_stands_in_the_line_of_the_names(
    tmp_path: Path, centre: Centre, form: str, place: str
) -> None:
    """Below a preamble that is the line of the header."""
    log = centre.sources["log"]
    header = {"find": ["ID"], "within": 9}
    below = [replace(each, read={**each.read, "header": header}) for each in (log, *log.alternatives)]
    sources = {**centre.sources, "log": replace(below[0], alternatives=tuple(below[1:]))}
    preamble = [["Export", "", ""], ["of today", "", ""]]
    files = given(form, ["1", "X-1", "good"], above=preamble)
    folder = landed(tmp_path, replace(centre, sources=sources), files)
    assert ("Mood", place) in rows(folder / "_notes.parquet", "field, source_row")
    assert rows(folder / "_received.parquet", "header") == [(place,)]


def test_a_reply_inside_an_archive_is_not_lost(tmp_path: Path, centre: Centre) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("log.csv", GOOD)
        archive.writestr("to you/queries - Copia.csv", "query_id;site_reply\n")
    with pytest.raises(DeliveryRejected, match="Put the list of queries beside the archive"):
        landed(tmp_path, centre, {"log.zip": packed.getvalue()})


def test_an_unknown_column_does_not_land_and_is_noted(tmp_path: Path, centre: Centre) -> None:
    log = "ID;Code;Mood\n1;X-1;good\n2;X-2; \n3;X-3;better\n"
    folder = landed(tmp_path, centre, {"log.csv": log, "extra.csv": "a\n1\n"})
    assert "good" not in str(rows(folder / "log.parquet", "*"))
    assert ("structure/unknown_column", "Mood", "2") in rows(
        folder / "_notes.parquet", "rule_id, field, value_received"
    )


@pytest.mark.parametrize(
    ("column", "value", "looks"),
    [
        ("Note", "RSSMRA80A01H501U", "Italian fiscal code"),
        ("Known", "a.b@example.org", "e-mail address"),
        ("Mood", "+39 333 1234567", "phone number"),
        ("Cognome e nome", "x", "a column that names a patient"),
        ("patient_name", "x", "a column that names a patient"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_an_identifier_in_a_column_that_is_not_landed_rejects(
    tmp_path: Path, centre: Centre, column: str, value: str, looks: str, form: str
) -> None:
    with pytest.raises(DeliveryRejected) as rejected:
        landed(tmp_path, centre, given(form, ["1", "X-1", " "], ["2", "X-2", value], column=column))
    row = "3" if form == "csv" else "Log!3"
    assert f"column {column}, row {row} (1 rows)" in str(rejected.value) and looks in str(rejected.value)
    assert value == "x" or value not in str(rejected.value)


@pytest.mark.parametrize("form", ["csv", "xlsx"])
@pytest.mark.parametrize(
    ("column", "value"), [("Cognome", " "), ("Known", "x"), ("Telefono fisso noto", "x"), ("Operatore", "x")]
)
def test_no_identifier_is_seen_where_nothing_stands_or_the_mapping_ignores_the_name(
    tmp_path: Path, centre: Centre, column: str, value: str, form: str
) -> None:
    landed(tmp_path, centre, given(form, ["1", "X-1", value], column=column))


def given(
    form: str, *lines: list[str], column: str = "Mood", above: Sequence[list[str]] = ()
) -> dict[str, str | bytes]:
    """A log with one column more, as text or as a workbook."""
    table = [*above, ["ID", "Code", column], *lines]
    if form == "csv":
        return {"log.csv": "".join(";".join(line) + "\n" for line in table)}
    book = openpyxl.Workbook()
    book.active.title = "Log"
    for line in table:
        book.active.append(line)
    held = io.BytesIO()
    book.save(held)
    return {"log.xlsx": held.getvalue()}


def test_another_layout_of_the_same_source_is_read_in_its_own_way(tmp_path: Path, centre: Centre) -> None:
    folder = landed(tmp_path, centre, {"twin.csv": "ID,Code\n1,X-1\n"})
    assert rows(folder / "log.parquet", "source_file, Code") == [("twin.csv", "X-1")]


def test_a_file_that_comes_twice_is_read_once_and_noted(tmp_path: Path, centre: Centre) -> None:
    """Else each of its rows would be asked as a record that stands there twice."""
    folder = landed(tmp_path, centre, {"log.csv": GOOD, "log (1).csv": GOOD, "log_2.csv": GOOD.replace("X-", "Y-")})
    assert sorted(rows(folder / "log.parquet", "source_file, Code")) == [
        ("log.csv", "X-1"), ("log.csv", "X-2"), ("log_2.csv", "Y-1"), ("log_2.csv", "Y-2"),
    ]  # fmt: skip
    assert sorted(rows(folder / "_received.parquet", "source, source_file, n_rows")) == [
        ("log", "log (1).csv", 0), ("log", "log.csv", 2), ("log", "log_2.csv", 2),
    ]  # fmt: skip
    noted = rows(folder / "_notes.parquet", "rule_id, source_file, value_received, expected")
    assert ("structure/file_twice", "log (1).csv", "log.csv", "each file once") in noted and len(noted) == 2


def test_a_file_in_an_archive_lands_under_its_path_there(tmp_path: Path, centre: Centre) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("sub/log.csv", GOOD)
    folder = landed(tmp_path, centre, {"a.zip": (tmp_path / "a.zip").read_bytes()})
    assert rows(folder / "log.parquet", "distinct source_file") == [("a.zip!sub/log.csv",)]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"other.csv": GOOD},
            "log*.csv / log*.xlsx / twin.csv: expected this file in the delivery. Add the file and send",
        ),
        ({"log.csv": ""}, "log.csv: expected a file with content"),
        ({"log.csv": "Code;Known\nX-1;a\n"}, "log.csv, column ID: expected this key column"),
        ({"log1.csv": GOOD, "log2.csv": "Code\nX-1\n"}, "log2.csv, column ID: expected this key column"),
        ({"log.csv": GOOD.encode("utf-16")}, "log.csv"),
        (
            {"log.csv": "ID;Code;Name\n1;X-1;Smith\n"},
            "log.csv, column Name, row 2 (1 rows): expected this column to be",
        ),
        ({"log.csv": "ID;Code\n1;a.b@example.org\n"}, "column Code, row 2 (1 rows): expected no direct identifier"),
        ({"a.zip": b"PK"}, "a.zip: expected a complete zip archive"),
    ],
)
def test_a_faulty_delivery_is_rejected_and_nothing_of_it_lands(
    tmp_path: Path, centre: Centre, files: dict[str, str | bytes], message: str
) -> None:
    with pytest.raises(DeliveryRejected) as rejected:
        landed(tmp_path, centre, files)
    assert message in str(rejected.value)
    assert str(rejected.value).startswith("north: delivery 2015-01-01 was rejected")
    assert not list((tmp_path / "home" / "landed").rglob("*.parquet"))
    assert "Smith" not in str(rejected.value)


def test_all_problems_are_named_at_once(tmp_path: Path, centre: Centre) -> None:
    with pytest.raises(DeliveryRejected) as rejected:
        landed(tmp_path, centre, {"log.csv": "Code;Name\na.b@example.org;Smith\n"})
    assert len(rejected.value.problems) == 3


def test_a_guard_column_may_hold_what_is_known_to_be_harmless(tmp_path: Path, centre: Centre) -> None:
    folder = landed(tmp_path, centre, {"log.csv": "ID;Code;Name\n1;X-1;TEST\n2;X-2; \n"})
    assert rows(folder / "log.parquet", 'ID, "guarded Name"') == [("1", "1"), ("2", None)], "rows are dropped by it"
    assert "TEST" not in str(rows(folder / "log.parquet", "*"))
