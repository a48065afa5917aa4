"""The habits of rt4, each in a small hand-written delivery: what it becomes, what is dropped or asked."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines import centres, staging, study
from pipelines.deliveries import intake, land, ledger
from pipelines.warehouse import Home

FOLDER = study.ROOT / "centres"
CODEX = "http://hl7.org/fhir/us/codex-radiation-therapy/StructureDefinition/codexrt-radiotherapy-"
MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-radiotherapy-"
TABLES = {
    "restagings.csv": "patient,volume,date,restaging,recist,finding,imaging,field,isodose\n",
    "crosswalk.csv": "patient,study_code,sex,born\nck-1,RCC-ME1-001-X,1,1950\nck-2,RCC-ME1-002-X,2,1951\n",
}
Resource = dict[str, Any]


def dose(value: float, unit: str | None = "cGy", name: str = "totalDoseDelivered") -> Resource:
    quantity = {"value": value} | ({"unit": unit, "code": unit} if unit else {})
    return {"url": name, "valueQuantity": quantity}


def course(number: int, *doses: Resource, version: str = "1", kind: str = "course-summary", **more: Any) -> Resource:
    """A course summary, or a treated phase; each dose is that of a volume of its own."""
    volumes = [{"url": f"{MCODE}dose-delivered-to-volume", "extension": [d]} for d in doses or (dose(3000),)]
    return {
        "resourceType": "Procedure", "id": f"course-{number}", "status": "completed",
        "meta": {"versionId": version, "profile": [f"{CODEX}{kind}"]}, "identifier": [{"use": "usual", "value": "C1"}],
        "subject": {"reference": f"Patient/ck-{number}"}, "extension": volumes,
        "performedPeriod": {"start": "2015-03-02", "end": "2015-03-09"}, **more,
    }  # fmt: skip


def prescription(number: int, planned: Resource, **more: Any) -> Resource:
    return {
        "resourceType": "ServiceRequest", "id": f"rx-{number}", "meta": {
            "versionId": "1", "profile": [f"{CODEX}course-prescription"]},
        "identifier": [{"use": "usual", "value": "C1"}], "subject": {"reference": f"Patient/ck-{number}"},
        "extension": [{"url": f"{CODEX}dose-prescribed-to-volume", "extension": [planned]}],
        "note": [{"text": "5x7,5 Gy, prescribed to the 80 % isodose"}], **more,
    }  # fmt: skip


def volume(number: int, **more: Any) -> Resource:
    return {
        "resourceType": "BodyStructure", "id": f"volume-{number}",
        "meta": {"versionId": "1", "profile": [f"{MCODE}volume"]}, "patient": {"reference": f"Patient/ck-{number}"},
        "identifier": [{"use": "usual", "value": "T1"}, {"system": "urn:course", "value": "C1"}], **more,
    }  # fmt: skip


def stage(
    home: Home,
    *procedures: Resource,
    planned: Resource | None = None,
    volumes: list[Resource] | None = None,
    more: list[Resource] | None = None,
) -> Path:
    """Take one delivery of rt4 in; returns the folder of its staged tables."""
    inbox = home.inbox / "rt4" / "2017-01-01"
    inbox.mkdir(parents=True)
    files = {
        "Procedure": list(procedures), "BodyStructure": volumes or [volume(1)],
        "ServiceRequest": [prescription(1, planned or dose(3000, name="totalDose")), *(more or [])],
    }  # fmt: skip
    for name, resources in files.items():
        (inbox / f"{name}.ndjson").write_text("".join(json.dumps(r) + "\n" for r in resources), encoding="utf-8")
    for name, text in TABLES.items():
        (inbox / name).write_text(text, encoding="utf-8")
    centre = centres.load(FOLDER / "rt4")
    intake.intake(home, ["rt4"])
    delivery = ledger.read(home)[-1]
    land.land(home, centre, delivery)
    staging.stage(centre, home.landed / "rt4" / delivery.delivery_id, home.staged / "rt4")
    return home.staged / "rt4"


def rows(folder: Path, table: str, columns: str, where: str = "true") -> list[tuple[Any, ...]]:
    with duckdb.connect() as con:
        return con.execute(
            f"select {columns} from '{folder / f'{table}.parquet'}' where {where} order by all"
        ).fetchall()


DELIVERED = "local_id, delivered_dose_gy::varchar, source_row"


def asked(folder: Path, field: str) -> list[tuple[Any, ...]]:
    return rows(folder, "findings", "field, value_received, source_file, source_row", f"staged_field = '{field}'")


def dropped(folder: Path) -> list[tuple[Any, ...]]:
    return rows(folder, "dropped", "source_file, source_row, reason")


def test_the_highest_version_by_number_holds_wherever_it_stands(tmp_path):
    versions = [course(1, dose(100.0 * int(v)), version=v) for v in ("9", "10", "2")]
    folder = stage(Home(tmp_path), *versions)
    assert rows(folder, "courses", DELIVERED) == [("ck-1", "10.000", "2")]
    assert dropped(folder) == [("Procedure.ndjson", row, "superseded") for row in "13"]


def test_a_resource_entered_in_error_is_gone_with_its_older_versions(tmp_path):
    wrong = course(1, version="2", status="entered-in-error")
    folder = stage(Home(tmp_path), course(1), wrong, course(2))
    assert rows(folder, "courses", DELIVERED) == [("ck-2", "30.000", "3")]
    reasons = [("Procedure.ndjson", "1", "superseded"), ("Procedure.ndjson", "2", "entered_in_error")]
    assert dropped(folder) == reasons


@pytest.mark.parametrize(("one", "other"), [("2", "2"), ("f3", "a1"), ("2", "2.0"), (None, "1"), ("2", "2015-03-09")])
def test_two_contents_of_which_none_is_the_newest_are_asked_and_not_used(tmp_path, one, other):
    """In FHIR a versionId is opaque: neither the first in the file nor the last by text is the one that holds."""
    versions = [course(1, dose(3000), version=one), course(1, dose(2100), version=other)]
    folder = stage(Home(tmp_path), *versions, course(2))
    assert rows(folder, "courses", DELIVERED) == [("ck-2", "30.000", "3")]
    asked = "rule_id, usubjid, field, value_received, expected, source_file, source_row"
    told = "one content under one id, version, here and in row 2"
    assert rows(folder, "findings", asked, "table_name = 'courses'") == [
        ("structure/two_contents", "RCC-ME1-001-X", "id, version", "course-1", told, "Procedure.ndjson", "1")
    ]
    assert dropped(folder) == [("Procedure.ndjson", row, "two_contents") for row in "12"]


def test_versions_alike_with_one_content_are_one_and_older_twins_do_not_matter(tmp_path):
    twins = [course(1, dose(100.0), version="1"), course(1, dose(200.0), version="1"), course(1, version="2")]
    folder = stage(Home(tmp_path), *twins, *(course(2, version=v) for v in ("f3", "a1")))
    assert rows(folder, "courses", DELIVERED) == [("ck-1", "30.000", "3"), ("ck-2", "30.000", "4")]
    assert rows(folder, "findings", "rule_id", "rule_id like '%contents'") == []
    assert dropped(folder) == [("Procedure.ndjson", row, "superseded") for row in "125"]


def test_courses_without_a_profile_are_asked_for(tmp_path):
    meta = {"versionId": "1"}
    folder = stage(Home(tmp_path), course(1), *(course(n, meta=meta) for n in (2, 3)))
    assert rows(folder, "courses", DELIVERED) == [("ck-1", "30.000", "1")]
    columns = "table_name, field, value_received, source_file, source_row"
    assert rows(folder, "findings", columns, "rule_id = 'structure/not_read'") == [
        ("courses", "meta.profile", "2", "Procedure.ndjson", "2")
    ]


def test_versions_are_told_by_their_time(tmp_path):
    times = ("2015-03-09T10:00:00+01:00", "2015-03-09T09:30:00Z", "2015-03-01")
    versions = [course(1, dose(100.0 * n), version=time) for n, time in enumerate(times, 1)]
    assert rows(stage(Home(tmp_path), *versions), "courses", DELIVERED) == [("ck-1", "2.000", "2")]


def test_resources_without_an_id_are_no_versions_of_each_other(tmp_path):
    folder = stage(Home(tmp_path), *({k: v for k, v in course(n).items() if k != "id"} for n in (1, 2)))
    assert len(rows(folder, "courses", DELIVERED)) == 2 and dropped(folder) == []


def test_a_dose_without_unit_is_asked_for_and_never_assumed(tmp_path):
    folder = stage(Home(tmp_path), course(1, dose(3000, None)), planned=dose(30, None, "totalDose"))
    assert rows(folder, "courses", "delivered_dose_gy, planned_dose_gy") == [(None, None)]
    assert asked(folder, "delivered_dose_gy") == [("total_dose_delivered", "3000", "Procedure.ndjson", "1")]
    # where it stands, though only courses look it up
    assert asked(folder, "planned_dose_gy") == [("total_dose", "30", "ServiceRequest.ndjson", "1")]


def test_a_unit_that_the_code_contradicts_is_asked_and_a_code_alone_is_one(tmp_path):
    def quantity(**about: str) -> Resource:
        return {"url": "totalDoseDelivered", "valueQuantity": {"value": 3500.0, **about}}

    courses = [course(1, quantity(unit="Gy", code="cGy")), course(2, quantity(code="cGy"))]
    folder = stage(Home(tmp_path), *courses)
    assert rows(folder, "courses", DELIVERED) == [("ck-1", None, "1"), ("ck-2", "35.000", "2")]
    found = rows(folder, "findings", "rule_id, source_row", "staged_field = 'delivered_dose_gy'")
    assert found == [("structure/missing_unit", "1")]


def test_a_dose_in_gy_is_read_beside_those_in_cgy(tmp_path):
    folder = stage(Home(tmp_path), course(1, dose(37.5, "Gy")), course(2, dose(3750.0)))
    assert [gy for _, gy, _ in rows(folder, "courses", DELIVERED)] == ["37.500", "37.500"]


def test_a_unit_that_we_do_not_know_is_asked_for(tmp_path):
    folder = stage(Home(tmp_path), course(1, dose(30, "rad")))
    assert rows(folder, "courses", "delivered_dose_gy") == [(None,)]
    assert len(asked(folder, "delivered_dose_gy")) == 1


def test_two_volumes_and_the_phases_of_a_course_are_counted_once(tmp_path):
    phases = [course(1, kind="treated-phase", id=f"phase-{n}") for n in (1, 2)]
    planning = volume(1, id="margin", meta={"versionId": "1", "profile": ["http://x/BodyStructure"]})
    folder = stage(Home(tmp_path), course(1, dose(3000), dose(3000.0)), *phases, volumes=[volume(1), planning])
    assert rows(folder, "courses", DELIVERED) == [("ck-1", "30.000", "1")]
    assert rows(folder, "targets", "local_id, target_id") == [("ck-1", "T1")]


def test_two_volumes_with_two_doses_are_asked_and_never_chosen(tmp_path):
    folder = stage(Home(tmp_path), course(1, dose(3000), dose(2500)))
    assert rows(folder, "courses", DELIVERED) == [("ck-1", None, "1")]
    assert asked(folder, "delivered_dose_gy") == [("total_dose_delivered", "3000 | 2500", "Procedure.ndjson", "1")]


def test_two_prescriptions_of_a_course_are_asked_and_never_chosen(tmp_path):
    """The other system's dose is looked up by the course, whose first prescription once held."""
    second = prescription(1, dose(2500, name="totalDose")) | {"id": "rx-2"}
    folder = stage(Home(tmp_path), course(1), more=[second])
    assert rows(folder, "courses", "planned_dose_gy, delivered_dose_gy::varchar") == [(None, "30.000")]
    assert asked(folder, "planned_dose_gy") == [("total_dose", "2500 | 3000", "ServiceRequest.ndjson", "1")]


@pytest.mark.parametrize(
    ("status", "reason"), [("entered-in-error", "entered_in_error"), ("revoked", "revoked"), ("draft", "draft")]
)
def test_a_prescription_that_does_not_hold_is_none(tmp_path, status, reason):
    """Alone it plans nothing; beside the one that holds it is not asked about."""
    wrong = [prescription(n, dose(2500, name="totalDose"), status=status) | {"id": f"rx-x{n}"} for n in (1, 2)]
    folder = stage(Home(tmp_path), course(1), course(2), more=wrong)
    assert rows(folder, "courses", "local_id, planned_dose_gy::varchar") == [("ck-1", "30.000"), ("ck-2", None)]
    assert asked(folder, "planned_dose_gy") == []
    assert dropped(folder) == [("ServiceRequest.ndjson", row, reason) for row in "23"]


def test_identifiers_are_told_by_what_they_say_and_not_by_their_place(tmp_path):
    turned = {"identifier": [{"use": "secondary", "value": "X9"}, {"use": "usual", "value": "C1"}]}
    target = volume(1, location={"coding": [{"system": "http://snomed.info/sct", "code": "39607008"}]})
    target["identifier"] = [{"system": "urn:lesion", "value": "L1"}, *target["identifier"][::-1]]
    folder = stage(Home(tmp_path), course(1, **turned), volumes=[target])
    assert rows(folder, "courses", "course_id, planned_dose_gy::varchar") == [("C1", "30.000")]
    assert rows(folder, "targets", "target_id, course_id, lesion_label") == [("T1", "C1", "L1")]


@pytest.mark.parametrize("start", ["2015-03", "2015"])
def test_a_partial_date_is_asked_for_and_no_day_invented(tmp_path, start):
    folder = stage(Home(tmp_path), course(1, performedPeriod={"start": start, "end": "2015-03-09"}))
    assert rows(folder, "courses", "rtstdt, rtendt::varchar") == [(None, "2015-03-09")]
    assert asked(folder, "rtstdt") == [("performed_start", start, "Procedure.ndjson", "1")]


def test_a_note_and_an_isodose_change_no_dose(tmp_path):
    folder = stage(Home(tmp_path), course(1, note=[{"text": "5x7,5 Gy to the 80 % isodose"}]))
    assert rows(folder, "courses", "planned_dose_gy::varchar, delivered_dose_gy::varchar") == [("30.000", "30.000")]
    assert rows(folder, "findings", "rule_id", "rule_id = 'structure/unknown_column'") == []
