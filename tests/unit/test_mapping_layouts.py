"""When an export changes, old and new layout stand in one mapping: the extract date of a delivery decides."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines import centres
from pipelines.deliveries.intake import intake
from pipelines.errors import DeliveryRejected
from pipelines.orchestration.take_in import take_in
from pipelines.warehouse import Home

MAPPING = """\
centre: x1
title: Invented
kind: oncology
language: en
formats: ["%Y-%m-%d"]
sources:
  log: {files: log.csv, read: {format: csv}}
  visits:
    files: visits.csv
    read: {format: csv}
    key: [Patient, mm]
    guard: {Surname: [TEST]}
    layouts:
      - until: "2014-12-31"
        files: VIS*.txt
        read: {format: csv, delimiter: ";"}
        rename: {Pat: Patient, "Diam.": mm, Cognome: Surname}
        ignore: [Room]
      - {from: "2015-01-01"}
tables:
  links:
    - {source: log, fields: {local_id: {from: Patient}, usubjid: {from: Code}}}
  measurements:
    - source: visits
      fields:
        local_id: {from: Patient}
        lesion_id: {from: Lesion}
        trdt: {from: Date}
        diameter_mm: {from: mm, unit: mm}
"""
LOG = "Patient,Code\n1,S-1\n"
OLD = "Pat;Lesion;Date;Diam.;Room;Cognome;Extra\n1;L1;2014-03-01;12;7;;x\n1;L2;2014-03-01;ca 12;7;;\n"
NEW = "Patient,Lesion,Date,mm,Surname\n1,L1,2015-03-01,13,\n"


def deliver(tmp_path: Path, name: str, files: dict[str, str]) -> Path:
    """Take one delivery in; returns the folder of the staged tables. Raises what rejected it."""
    folder = tmp_path / "centres" / "x1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "centre.yaml").write_text(MAPPING, encoding="utf-8")
    home = Home(tmp_path / "home")
    inbox = home.inbox / "x1" / name
    inbox.mkdir(parents=True)
    for file, text in files.items():
        (inbox / file).write_text(text, encoding="utf-8")
    taken = take_in(home, centres.load(folder), tuple(intake(home, ["x1"])), "v1")
    if taken.rejected:
        raise taken.rejected[0]
    return home.staged / "x1"


def rows(path: Path, columns: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as con:
        return con.execute(f"select {columns} from '{path}' order by all").fetchall()


def test_each_delivery_is_read_by_the_layout_of_its_day(tmp_path: Path) -> None:
    new = deliver(tmp_path / "new", "2015-06-01", {"log.csv": LOG, "visits.csv": NEW})
    assert rows(new / "measurements.parquet", "usubjid, diameter_mm") == [("S-1", Decimal(13))]
    assert rows(new / "findings.parquet", "rule_id") == []
    old = deliver(tmp_path / "old", "2014-06-01", {"log.csv": LOG, "VIS1.txt": OLD})
    assert rows(old / "measurements.parquet", "lesion_id, diameter_mm") == [("L1", Decimal(12)), ("L2", None)]
    columns = "rule_id, field, value_received"
    assert rows(old / "findings.parquet", columns) == [  # by the names that stand in the file
        ("structure/unknown_column", "Extra", "1"), ("structure/unreadable_number", "Diam.", "ca 12"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("2015-06-01", {"VIS1.txt": OLD}, "visits.csv: expected this file"),
        ("2014-06-01", {"visits.csv": NEW}, "VIS*.txt: expected this file"),
        ("2014-06-01", {"VIS1.txt": OLD.replace("Diam.", "mm")}, "VIS1.txt, column Diam.: expected this key column"),
        ("2014-06-01", {"VIS1.txt": OLD.replace(";7;;x", ";7;Rossi;x")}, "VIS1.txt, column Cognome, row 2"),
    ],
)
def test_a_layout_of_another_day_is_not_tried(tmp_path: Path, name: str, files: dict[str, str], message: str) -> None:
    with pytest.raises(DeliveryRejected) as rejected:
        deliver(tmp_path, name, {"log.csv": LOG, **files})
    assert message in str(rejected.value) and "Rossi" not in str(rejected.value)


def test_a_column_under_both_names_is_not_mixed_up(tmp_path: Path) -> None:
    """Under the old layout the new name means nothing that is known."""
    text = OLD.replace("Extra", "mm").replace(";x", ";99")
    staged = deliver(tmp_path, "2014-06-01", {"log.csv": LOG, "VIS1.txt": text})
    assert rows(staged / "measurements.parquet", "diameter_mm")[0] == (Decimal(12),)
    assert ("structure/unknown_column", "mm") in rows(staged / "findings.parquet", "rule_id, field")
