"""What a printed report saved as a workbook does to its reader; a small invented workbook per quirk."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import xlsxwriter
from delivered import deliver, rows

from pipelines.errors import DeliveryRejected
from pipelines.warehouse import Home

HEADER = ["IDA", "Last_Name", "SIT_SET_ID", "Version", "Status_Enum", "Site_Name", "Technique", "Dose_Tx", "Dose_Ttl",
          "Dose_Act", "Fractions", "Frac_Act", "Start_DtTm", "Last_DtTm", "Notes"]  # fmt: skip
TARGETS = ["IDA", "SIT_SET_ID", "Target", "Site_Name", "Technique", "Lesion"]
SHEETS: dict[str, list[list[Any]]] = {
    "Targets": [TARGETS, ["M00201", 1, "T1", "COLONNA D10", "SBRT", "L1"]],
    "Restaging": [["IDA", "Target", "Date", "Restaging", "Response", "Finding", "Method", "Field", "Isodose_pct"],
                  ["M00201", "T1", "2015-03-01", "1", "PR", "ridotto", "CT", "?"]],
    "Toxicity": [["IDA", "Term", "Grade", "Onset", "End", "Relation", "Outcome"],
                 ["M00201", "NAUSEA", "1", "2015-01-20", None, "RT"]],
    "Crosswalk": [["IDA", "Study_Code", "Sex", "Birth_Year"], ["M00201", "RCC-ME2-001-X", "M", 1953]],
}  # fmt: skip


def row(set_id: int, version: int = 0, last_name: str | None = None, **other: Any) -> list[Any]:
    given = {"IDA": "M00201", "Last_Name": last_name, "SIT_SET_ID": set_id, "Version": version,
             "Status_Enum": 5,
             "Site_Name": "COLONNA D10", "Technique": "SBRT", "Dose_Tx": 750, "Dose_Ttl": 3750, "Dose_Act": 3750,
             "Fractions": 5, "Frac_Act": 5, "Start_DtTm": "12/01/2015 08:30",
             "Last_DtTm": "16/01/2015 08:45"}  # fmt: skip
    return [(given | other).get(name) for name in HEADER]


def staged(tmp_path: Path, summary: list[list[Any]], targets: list[list[Any]] | None = None) -> Path:
    path = tmp_path / "book.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        head = [["Treatment Summary"], ["Printed 2015-06-01"], [], HEADER]
        for name, cells in {"Treatment Summary": head + summary, **SHEETS}.items():
            page = book.add_worksheet(name)
            for number, line in enumerate(cells + ((targets or []) if name == "Targets" else [])):
                page.write_row(number, 0, line)
    return deliver(Home(tmp_path / "home"), "rt2", {"RT2_MOSAIQ.xlsx": path.read_bytes()})


def courses(folder: Path) -> list[tuple[Any, ...]]:
    return rows(folder / "courses.parquet", "course_id, delivered_dose_gy, delivered_fractions")


def findings(folder: Path) -> list[tuple[Any, ...]]:
    return rows(folder / "findings.parquet", "rule_id, source_row, field, value_received")


def dropped(folder: Path) -> list[tuple[Any, ...]]:
    return rows(folder / "dropped.parquet", "source_row, reason")


def test_centigray_become_gray_exactly(tmp_path: Path) -> None:
    folder = staged(tmp_path, [row(1, Dose_Ttl=3750, Dose_Act="2999.9", Frac_Act=4)])
    assert courses(folder) == [("1", Decimal("29.999"), 4)]
    assert rows(folder / "courses.parquet", "planned_dose_gy, rtstdt::varchar, rtendt::varchar") == [
        (Decimal("37.5"), "2015-01-12", "2015-01-16")
    ]
    assert findings(folder) == []


@pytest.mark.parametrize("order", [[0, 32000, 31999], [32000, 0, 31999], [32000, 31999, 0]])
def test_version_0_holds_and_never_the_largest(tmp_path: Path, order: list[int]) -> None:
    folder = staged(tmp_path, [row(1, version, Dose_Act=3750 if version == 0 else 9900) for version in order])
    assert courses(folder) == [("1", Decimal("37.5"), 5)]
    assert [reason for _, reason in dropped(folder)] == ["superseded", "superseded"]


@pytest.mark.parametrize("versions", [("32000", "31999"), ("1",), ("0.0",)])
def test_a_course_without_a_current_row_is_asked_once_and_not_used(tmp_path: Path, versions: tuple[str, ...]) -> None:
    folder = staged(tmp_path, [row(1), *(row(2, version) for version in versions)])
    assert courses(folder) == [("1", Decimal("37.5"), 5)]
    assert dropped(folder) == [(f"Treatment Summary!{6 + n}", "no_current_row") for n in range(len(versions))]
    columns = "rule_id, source_row, field, value_received, expected"
    assert rows(folder / "findings.parquet", columns, "rule_id = 'structure/no_current_row'") == [
        ("structure/no_current_row", "Treatment Summary!6", "Version", None, "a row of this record with Version 0")
    ]


def test_a_plan_that_was_never_delivered_supersedes_its_old_rows(tmp_path: Path) -> None:
    folder = staged(tmp_path, [row(1), row(2, 0, Frac_Act=0, Dose_Act=0), row(2, 32000)])
    assert [reason for _, reason in dropped(folder)] == ["plan_never_delivered", "superseded"]
    assert findings(folder) == []


def test_test_patients_are_told_by_the_guard_column_which_never_lands(tmp_path: Path) -> None:
    tests = [
        row(900 + i, IDA=f"M0000{i}", last_name=name, Technique=technique)
        for i, (name, technique) in enumerate((("PHYSICS", "SBRT"), ("QA", "QA"), (" TEST", "SBRT")))
    ]
    folder = staged(tmp_path, [*tests, row(1)])
    assert courses(folder) == [("1", Decimal("37.5"), 5)]
    assert [reason for _, reason in dropped(folder)] == ["qa_patient"] * 3
    (landed,) = (tmp_path / "home" / "landed" / "rt2").iterdir()
    names = rows(landed / "summary.parquet", "columns(*)")
    assert "PHYSICS" not in str(names)
    assert "Last_Name" not in duckdb.read_parquet(str(landed / "summary.parquet")).columns


@pytest.mark.parametrize("name", ["Invented", "TEST2", "qa"])
def test_any_other_name_rejects_the_delivery_without_being_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(DeliveryRejected, match="column Last_Name, row Treatment Summary!6 ") as error:
        staged(tmp_path, [row(1), row(2, last_name=name)])
    assert name not in str(error.value)


def test_pages_repeat_the_header_and_end_in_a_footer(tmp_path: Path) -> None:
    folder = staged(
        tmp_path, [row(1), ["Printed by: report server, page 1"], HEADER, row(2), [], ["Printed by: server, 2 rows"]]
    )
    assert [course for course, *_ in courses(folder)] == ["1", "2"]
    assert dropped(folder) == [
        ("Treatment Summary!10", "page_footer"), ("Treatment Summary!6", "page_footer"),
        ("Treatment Summary!7", "repeated_header"),
    ]  # fmt: skip
    assert findings(folder) == []


def test_a_plan_that_was_never_delivered_is_no_course(tmp_path: Path) -> None:
    never = {"Dose_Act": 0, "Frac_Act": 0, "Start_DtTm": None, "Last_DtTm": None}
    # dose without a fraction is a contradiction that the rules ask about
    folder = staged(tmp_path, [row(1), row(2, **never), row(3, **never | {"Dose_Act": 750})])
    assert courses(folder) == [("1", Decimal("37.5"), 5), ("3", Decimal("7.5"), 0)]
    assert dropped(folder) == [("Treatment Summary!6", "plan_never_delivered")]


def test_sites_in_free_text_are_mapped_where_listed_and_asked_otherwise(tmp_path: Path) -> None:
    texts = ["COLONNA L2", "COLONNA D11", "COLONNA C3", "COLONNA"]
    folder = staged(tmp_path, [row(1)], [["M00201", 1, f"T{n}", text, "SBRT"] for n, text in enumerate(texts, 2)])
    sites = rows(folder / "targets.parquet", "target_id, anatomic_site")
    assert sites == [("T1", "bone"), ("T2", "bone"), ("T3", "bone"), ("T4", None), ("T5", None)]
    assert findings(folder) == [
        ("structure/unmapped_code", "Targets!5", "Site_Name", "COLONNA C3"),
        ("structure/unmapped_code", "Targets!6", "Site_Name", "COLONNA"),
    ]
