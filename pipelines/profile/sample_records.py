"""Invented ODM, FHIR and DICOM files, written so that the readers read them as the export."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import warehouse
from pipelines.profile.look_fhir import LISTED, SYSTEM
from pipelines.readers.fhir import STEP
from pipelines.simulate import write_dicom, write_odm

if TYPE_CHECKING:
    from pipelines.profile.seen import Seen

Rows = Sequence[Sequence[str]]
EXTRACTED, FIRST_DAY = "2018-01-01", date(2015, 1, 12)
EVENT, FORM = "SE_1", "F_1"
BEAMS, SESSIONS = 2, 3
UID = "2.25.7"  # of nobody: made up for invented files
VERSIONS = {"2": "2.0"}


def odm(folder: Path, tables: Sequence[tuple["Seen", Rows]]) -> None:
    """One ODM file with a row an item group and subject; the first column is the subject."""
    import pyarrow as pa

    groups, first = [], tables[0][0]
    with closing(warehouse.memory()) as con:
        for number, (seen, rows) in enumerate(tables):
            subject, *items = seen.names
            cells = {name: [row[i] or None for row in rows] for i, name in enumerate(seen.names)}
            repeats = [str(sum(1 for r in rows[:i] if r[0] == row[0]) + 1) for i, row in enumerate(rows)]
            keys = {
                "SubjectKey": [row[0] if subject == "SubjectKey" else f"SS_{row[0]}" for row in rows],
                "StudySubjectID": [row[0] if subject == "StudySubjectID" else None for row in rows],
                "StudyEventOID": [EVENT] * len(rows), "StudyEventRepeatKey": ["1"] * len(rows),
                "ItemGroupRepeatKey": repeats,
            }  # fmt: skip
            columns = keys | {name: cells[name] for name in items}
            con.register(f"rows_{number}", pa.table({n: pa.array(v, pa.string()) for n, v in columns.items()}))
            group = seen.read["item_group"]
            groups.append({"item_group": group, "name": group, "form": FORM, "select": f"select * from rows_{number}"})
        how = {"study_oid": "S_INVENTED", "study_name": "Invented data", "metadata_oid": "v1"}
        how["version"] = VERSIONS.get(first.version[:1], "1.3.2")
        spec = {"write": how, "events": {EVENT: EVENT}, "groups": groups, "codes": {}, "extract_date": EXTRACTED}
        write_odm.write(con, spec, folder / first.globs[0].replace("*", "export"))


def fhir(target: Path, tables: Sequence[tuple["Seen", Rows]]) -> None:
    """One resource a line, of all kinds that stand in this file."""
    lines = []
    for seen, rows in tables:
        columns: Mapping[str, str] = seen.read["columns"]
        units = {unit: "Gy" for unit in seen.units.values()}
        for number, row in enumerate(rows, 1):
            resource: dict[str, Any] = {"resourceType": seen.read["resource"], "id": f"{seen.source}-{number}"}
            resource["meta"] = {"versionId": "1"}
            resource["meta"] |= {"profile": [seen.read["profile"]]} if "profile" in seen.read else {}
            for name, value in {**units, **dict(zip(seen.names, row, strict=True))}.items():
                if value:
                    _put(resource, columns[name], value)
            lines.append(json.dumps(resource, ensure_ascii=False))
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _put(resource: dict[str, Any], path: str, value: str) -> None:
    """Set what a path leads to, so that the reader finds it there."""
    *before, (name, index, ending) = STEP.findall(path)
    there = resource
    for step, at, address in before:
        word, is_said, text = at.partition("=")
        word, text = (word, text) if is_said else (LISTED.get(step, SYSTEM), address)
        there = _entry(there.setdefault(step, []), word, text) if at or address else there.setdefault(step, {})
    if name == "reference":
        there["reference"] = f"{ending}/{value}"
    else:
        there[name] = [value] if index else value


def _entry(entries: list[dict[str, Any]], word: str, text: str) -> dict[str, Any]:
    """The entry of a list of which `word` says this; the one of which it says nothing is the first."""
    for entry in entries:
        if entry.get(word, "") == text:
            return entry
    entries.insert(len(entries) if text else 0, {word: text} if text else {})
    return entries[-1 if text else 0]


def dicom(folder: Path, subjects: Sequence[str], modalities: Sequence[str]) -> None:
    """A plan of two beams for each subject, and the records of its sessions, whichever of them the export has."""
    import pyarrow as pa

    plans, records = [], []
    for n, subject in enumerate(subjects, 1):
        for beam in range(1, BEAMS + 1):
            plans.append({
                "SOPInstanceUID": f"{UID}.1.{n}", "PatientID": subject, "PatientSex": "O", "StudyID": f"C{n}",
                "RTPlanLabel": f"Invented {n}", "RTPlanDate": f"{FIRST_DAY:%Y%m%d}", "ApprovalStatus": "APPROVED",
                "TargetPrescriptionDose": "24", "NumberOfFractionsPlanned": str(SESSIONS), "BeamNumber": str(beam),
                "BeamName": f"Beam {beam}", "TreatmentDeliveryType": "TREATMENT", "BeamDose": "4",
                "BeamMeterset": "100",
            })  # fmt: skip
        for session in range(1, SESSIONS + 1):
            day = FIRST_DAY + timedelta(days=14 * n + 2 * session)
            for beam in range(1, BEAMS + 1):
                records.append({
                    "SOPInstanceUID": f"{UID}.2.{n}.{session}", "PatientID": subject, "StudyID": f"C{n}",
                    "TreatmentDate": f"{day:%Y%m%d}", "ReferencedRTPlanUID": f"{UID}.1.{n}", "BeamNumber": str(beam),
                    "CurrentFractionNumber": str(session), "TreatmentDeliveryType": "TREATMENT",
                    "TreatmentTerminationStatus": "NORMAL", "SpecifiedPrimaryMeterset": "100",
                    "DeliveredPrimaryMeterset": "100",
                })  # fmt: skip
    with closing(warehouse.memory()) as con:
        spec = {}
        for part, modality, made in (("plans", "RTPLAN", plans), ("records", "RTRECORD", records)):
            con.register(part, pa.Table.from_pylist(made))
            spec[part] = f"select * from {part}" + ("" if modality in modalities else " where false")
        write_dicom.write(con, spec, folder)
