"""Small invented exports in each format, with what a first mapping must and must not take from them."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from dicom_files import image, plan, record, written

from pipelines import centres, study
from pipelines.errors import UsageError
from pipelines.mapping import Centre
from pipelines.orchestration.take_in import stop_rules
from pipelines.profile.check import check
from pipelines.profile.new import new

KNOWN = centres.load_all(study.ROOT / "centres")
SESSION = ((1, "TREATMENT", "150", "NORMAL"), (2, "TREATMENT", "75", "OPERATOR"))


def draft(tmp_path: Path, files: dict[str, bytes], kind: str = "") -> Centre:
    """The draft of an export with these files, by what all centres call things."""
    export = tmp_path / "export"
    export.mkdir()
    for name, content in files.items():
        (export / name).write_bytes(content)
    new("x1", [export], tmp_path / "centres", KNOWN, kind)
    return centres.load(tmp_path / "centres" / "x1")


def told(centre: Centre) -> str:
    """All that a person reads of a draft."""
    return "".join((centre.folder / name).read_text() for name in ("centre.yaml", "questions.md"))


def odm(version: str, groups: str, metadata: str = "") -> bytes:
    name = {"1.3.2": "v1.3", "2.0": "v2.0"}[version]
    return f"""<?xml version="1.0"?><ODM xmlns="http://www.cdisc.org/ns/odm/{name}" ODMVersion="{version}">
        <Study OID="S"><MetaDataVersion OID="M">{metadata}</MetaDataVersion></Study>
        <ClinicalData>{groups}</ClinicalData></ODM>""".encode()


METADATA = """
    <ItemDef OID="A1" Name="A1" DataType="integer"><Question><TranslatedText>Histology</TranslatedText></Question>
        <CodeListRef CodeListOID="C1"/></ItemDef>
    <ItemDef OID="A2" Name="ECOG" DataType="integer"/>
    <ItemDef OID="A3" Name="Sex" DataType="text"><CodeListRef CodeListOID="C2"/></ItemDef>
    <CodeList OID="C1"><CodeListItem CodedValue="7"><Decode><TranslatedText>Clear cell</TranslatedText></Decode>
        </CodeListItem>
        <CodeListItem CodedValue="8"><Decode><TranslatedText>Onion</TranslatedText></Decode></CodeListItem></CodeList>
    <CodeList OID="C2"><EnumeratedItem CodedValue="M"/><EnumeratedItem CodedValue="F"/></CodeList>"""


def subject(version: str, number: int, sex: str) -> str:
    values = {"A1": "7", "A2": str(number % 2), "A3": sex}
    if version == "2.0":
        items = "".join(f'<ItemData ItemOID="{k}"><Value>{v}</Value></ItemData>' for k, v in values.items())
        form = (
            f'<ItemGroupData ItemGroupOID="F"><ItemGroupData ItemGroupOID="DM">{items}</ItemGroupData></ItemGroupData>'
        )
    else:
        items = "".join(f'<ItemData ItemOID="{k}" Value="{v}"/>' for k, v in values.items())
        form = f'<FormData FormOID="F"><ItemGroupData ItemGroupOID="DM">{items}</ItemGroupData></FormData>'
    event = f'<StudyEventData StudyEventOID="E">{form}</StudyEventData>'
    return f'<SubjectData SubjectKey="ZK-{number}1">{event}</SubjectData>'


@pytest.mark.parametrize("version", ["1.3.2", "2.0"])
def test_an_odm_file_says_itself_what_its_codes_mean(tmp_path: Path, version: str) -> None:
    """Without a subject id of the centre's own the key is taken; without transactions the keys are left alone."""
    subjects = "".join(subject(version, n, "MF"[n % 2]) for n in range(4))
    centre = draft(tmp_path, {"export_2024.xml": odm(version, subjects, METADATA)})
    source = centre.sources["dm"]
    assert (source.files, source.key, source.transactions) == (("*.xml",), ("SubjectKey",), {})
    assert {"StudyEventOID", "ItemGroupRepeatKey"} <= set(source.ignore)
    (part,) = centre.tables["subjects"]
    assert {f.name: f.columns for f in part.fields} == {
        "local_id": ("SubjectKey",), "sex": ("A3",), "histology": ("A1",), "ecog": ("A2",),
    }  # fmt: skip
    assert next(f.map for f in part.fields if f.name == "histology") == {"7": "clear_cell"}
    assert (
        "dm, column 'A1' (Histology): which code of histology (clear_cell, papillary, chromophobe, other) is"
        in told(centre)
    )
    assert "ZK-" not in told(centre)
    found = check(centre, centre.folder / "sample", stop_rules)
    assert found.tables["subjects"][1]["histology"] == 4


def resource(number: int, **more: Any) -> dict[str, Any]:
    dose = {"url": "https://example.org/totalDoseDelivered", "valueQuantity": {"value": 31 + number, "unit": "Gy"}}
    return {
        "resourceType": "Procedure", "id": f"zz-{number}", "status": "completed",
        "subject": {"reference": f"Patient/pz-{number}"},
        "identifier": [{"system": "urn:local:course", "value": f"Q{number}"}],
        "performedPeriod": {"start": f"2019-03-{number + 10}", "end": f"2019-04-{number + 10}"},
        "extension": [dose],
    } | more  # fmt: skip


def ndjson(*resources: dict[str, Any]) -> bytes:
    return "".join(json.dumps(r) + "\n" for r in resources).encode()


def test_what_names_a_person_in_a_resource_is_not_read(tmp_path: Path) -> None:
    patients = [
        {"resourceType": "Patient", "id": f"pz-{n}", "gender": "female", "birthDate": "1950-01-01",
         "name": [{"family": f"Canarini{n}"}], "telecom": [{"system": "phone", "value": f"34755512{n}7"}],
         "identifier": [{"system": f"urn:ssn:secret{n}", "value": "7"}]}
        for n in range(4)
    ]  # fmt: skip
    courses = [resource(n) for n in range(4)]
    files = {"Patient.ndjson": ndjson(*patients), "Procedure.ndjson": ndjson(*courses)}
    centre = draft(tmp_path, files, "radiotherapy")
    assert set(centre.sources["patient"].read["columns"].values()) == {"id"}
    text = told(centre) + "".join(p.read_text() for p in (centre.folder / "sample").iterdir())
    assert [word for word in ("Canarini", "34755512", "1950", "secret", "pz-", "zz-", "2019-0") if word in text] == []
    assert "'birthDate', 'name', 'telecom' looks like a direct identifier" in text
    (part,) = centre.tables["courses"]
    assert {f.name: f.columns[0] for f in part.fields} == {
        "local_id": "subject", "course_id": "course", "delivered_dose_gy": "totalDoseDelivered",
        "rtstdt": "performed_start", "rtendt": "performed_end",
    }  # fmt: skip


def test_a_resource_entered_in_error_and_older_versions_are_no_records(tmp_path: Path) -> None:
    many = [resource(n, meta={"versionId": str(v)}) for n in range(4) for v in (2, 10)]
    many.append(resource(2, id="zz-9", status="entered-in-error", meta={"versionId": "1"}))
    centre = draft(tmp_path, {"Procedure.ndjson": ndjson(*many)}, "radiotherapy")
    source = centre.sources["procedure"]
    assert source.current_row == {"by": ["id"], "take": {"version": "max"}}
    (part,) = centre.tables["courses"]
    assert part.rollups == (), "each course has one record"


def test_plans_without_a_study_id_are_told_by_their_own(tmp_path: Path) -> None:
    """File names that end in a number of an identifier are told by what is before it; images are none."""
    made = plan("1.1")
    made.StudyID = ""
    session = record("2.1", 1, *SESSION)
    session.StudyID = ""
    files = {"RP.1.2.246.11": written(made), "RT.1.2.246.12": written(session), "CT.1.3": written(image())}
    centre = draft(tmp_path, files)
    assert centre.kind == "radiotherapy"
    assert centre.sources["plans"].files == ("CT.*", "RP.*", "RT.*")
    columns = {t: {f.name: f.columns for p in parts for f in p.fields} for t, parts in centre.tables.items()}
    assert columns["courses"]["course_id"] == ("SOPInstanceUID",)
    assert columns["fractions"]["course_id"] == ("ReferencedRTPlanUID",)
    assert "StudyID" in centre.sources["plans"].ignore
    assert [word for word in ("Rossi", "R3-1", "246", "20150112") if word in told(centre)] == []
    found = check(centre, centre.folder / "sample", stop_rules)
    assert {t: n for t, (n, _) in found.tables.items() if t != "links"} == {"courses": 4, "fractions": 12}
    # the plan stopped once and went on: half a beam less
    real = check(centre, tmp_path / "export", stop_rules)
    assert real.tables["fractions"][1]["dose_gy"] == 1


def test_records_without_their_plans_have_no_dose_to_be_made_of(tmp_path: Path) -> None:
    centre = draft(tmp_path, {"a.dcm": written(record("2.1", 1, *SESSION))})
    assert "fractions" not in centre.tables
    assert "'records'" not in told(centre)
    assert "No plans came with the records" in told(centre)


@pytest.mark.parametrize("names", [("a.dcm",), ("DICOM/a.dcm", "b.xml")])
def test_an_archive_is_to_be_unpacked(tmp_path: Path, names: tuple[str, ...]) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    with pytest.raises(UsageError, match="Unpack it"):
        new("x1", [tmp_path / "a.zip"], tmp_path / "centres", KNOWN)


def test_two_header_rows_of_a_workbook(tmp_path: Path) -> None:
    """A title right above is none of them; blocks without a number are told by their texts."""
    import xlsxwriter

    lines = [["Elenco INVENTATO"], ["Codice", "Lesione", "Prima", "", "Dopo", ""], ["", "", "Data", "mm", "Data", "mm"]]
    lines += [[f"ZQ{n}7", "T1", f"2014-01-{n + 10}", 33 + n, f"2014-02-{n + 10}", 21 + n] for n in range(5)]
    with xlsxwriter.Workbook(str(tmp_path / "a.xlsx")) as book:
        sheet = book.add_worksheet("Misure")
        for i, row in enumerate(lines):
            sheet.write_row(i, 0, row)
    new("x1", [tmp_path / "a.xlsx"], tmp_path / "centres", KNOWN)
    centre = centres.load(tmp_path / "centres" / "x1")
    assert centre.sources["a"].read["header"] == {"find": ["Codice", "Data"], "within": 6, "rows": 2, "join": "|"}
    (part,) = centre.tables["measurements"]
    assert part.unpivot == {"blocks": r"(?P<visit>Prima|Dopo)\|(?P<field>Data|mm)"}
    assert [word for word in ("ZQ", "2014-01-1", "INVENTATO") if word in told(centre)] == []
    found = check(centre, tmp_path / "a.xlsx", stop_rules)
    assert (found.tables["measurements"][0], found.tables["measurements"][1]["diameter_mm"]) == (10, 10)


def test_resources_without_a_profile_beside_others_are_one_source(tmp_path: Path) -> None:
    """A source without a profile reads all of a type: two would make each record twice."""
    profiled = [resource(n, meta={"profile": ["https://example.org/StructureDefinition/course"]}) for n in range(4)]
    plain = [resource(n) for n in range(4, 8)]
    centre = draft(tmp_path, {"Procedure.ndjson": ndjson(*profiled, *plain)}, "radiotherapy")
    assert [s.read.get("profile") for s in centre.sources.values()] == [None]
    found = check(centre, tmp_path / "export", stop_rules)
    assert (found.tables["courses"][0], found.findings, found.columns) == (8, [], [])


PATIENTS = "{id}\tStudy code\tGender\tBorn\tFamily name\n" + "".join(
    f"H{7 * i:04}\tRCC-ME9-80{i}-K\t{'MF'[i % 2]}\t{1930 + 7 * i}\tCanarini\n" for i in range(1, 6)
)
LESIONS = "{id}\tLesion\tSite\tRole\n" + "".join(f"H{7 * i:04}\tA{i}\tbone\ttarget\n" for i in range(1, 6))


@pytest.mark.parametrize(("name", "ids"), [("Patient number", "H"), ("Folder", "H"), ("Paz.", "1")])
def test_a_column_that_names_patients_is_found_by_its_name_or_beside_the_study_codes(
    tmp_path: Path, name: str, ids: str
) -> None:
    texts = {"patients.tsv": PATIENTS, "lesions.tsv": LESIONS}
    files = {file: text.format(id=name).replace("\nH", f"\n{ids}").encode() for file, text in texts.items()}
    centre = draft(tmp_path, files)
    found = {
        t: [f.columns for p in parts for f in p.fields if f.name == "local_id"] for t, parts in centre.tables.items()
    }
    assert found == {"links": [(name,)], "lesions": [(name,)]}
    assert "None was found" not in told(centre) and "Canarini" not in told(centre)
    assert "Family name" in centre.sources["patients"].ignore
