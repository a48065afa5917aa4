"""RTPLAN and RT Beams Treatment Record files, one per plan and one per delivered fraction."""

import shutil
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

CLASSES = {"RTPLAN": "1.2.840.10008.5.1.4.1.1.481.5", "RTRECORD": "1.2.840.10008.5.1.4.1.1.481.4"}
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
PREAMBLE = 132  # bytes, with the letters DICM
WRITER = "2.25.75019366207420412213507146023459917283"  # made up for this simulator


def write(con: "duckdb.DuckDBPyConnection", spec: Mapping[str, Any], target: Path) -> None:
    """Make folder `target` with a file per SOPInstanceUID of `spec.plans` and `spec.records`.

    Both are selects whose columns are the DICOM attributes that a reader makes of a beam (grain: a row a beam, the
    beams of a file side by side; beams of an identifier that come later are another file, `_again`). Dose in Gy,
    meterset in MU. `spec.twice_every`, `spec.bare_every`: from the first on, one of so many files comes again under
    another name, or has no preamble. Equal input gives equal bytes.
    """
    target.mkdir(parents=True)
    twice, bare = spec.get("twice_every"), spec.get("bare_every")
    for part, prefix, fill in (("plans", "RP", _fill_plan), ("records", "RT", _fill_record)):
        cursor = con.execute(spec[part])
        names = [column[0] for column in cursor.description or []]
        rows = (dict(zip(names, row, strict=True)) for row in iter(cursor.fetchone, None))
        for number, (uid, beams) in enumerate(groupby(rows, key=lambda row: row["SOPInstanceUID"])):
            path = target / f"{prefix}.{uid[-24:]}.dcm"
            path = path.with_stem(f"{path.stem}_again") if path.exists() else path
            _save(path, fill, list(beams))
            if bare and number % bare == 0:
                path.write_bytes(path.read_bytes()[PREAMBLE:])
            if twice and number % twice == 0:
                shutil.copyfile(path, path.with_stem(f"{path.stem}_copy"))


def twin(con: "duckdb.DuckDBPyConnection", spec: Mapping[str, Any], part: str) -> str:
    """The select of part `plans` or `records` as a CSV holds it: the columns that the reader makes of the files."""
    return str(spec[part])


def _save(path: Path, fill: Any, beams: list[dict[str, Any]]) -> None:
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID

    pydicom.config.settings.writing_validation_mode = pydicom.config.RAISE
    dataset = Dataset()
    head = beams[0]
    dataset.Modality = "RTPLAN" if fill is _fill_plan else "RTRECORD"
    dataset.SOPClassUID, dataset.SOPInstanceUID = CLASSES[dataset.Modality], head["SOPInstanceUID"]
    dataset.PatientName, dataset.PatientID = "", head["PatientID"]
    dataset.PatientIdentityRemoved = "YES"
    dataset.StudyID = head["StudyID"]
    fill(dataset, beams)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE_ENDIAN)
    dataset.file_meta.ImplementationClassUID = UID(WRITER)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)


def _items(rows: list[dict[str, Any]], *names: str, **renamed: str) -> list[Any]:
    """A sequence with an item a row; NULL leaves the attribute out."""
    from pydicom.dataset import Dataset

    found = []
    for row in rows:
        item = Dataset()
        for attribute, column in {**{n: n for n in names}, **renamed}.items():
            if row[column] is not None:
                setattr(item, attribute, row[column])
        found.append(item)
    return found


def _fill_plan(dataset: Any, beams: list[dict[str, Any]]) -> None:
    from pydicom.dataset import Dataset

    head = beams[0]
    dataset.PatientSex = head["PatientSex"]
    dataset.RTPlanLabel, dataset.RTPlanDate = head["RTPlanLabel"], head["RTPlanDate"]
    dataset.ApprovalStatus = head["ApprovalStatus"]
    dataset.DoseReferenceSequence = []
    # a planning system repeats the prescription for each volume, and refers to organs at risk too
    for number, kind in enumerate(("TARGET", "TARGET", "ORGAN_AT_RISK"), 1):
        dose = Dataset()
        dose.DoseReferenceNumber, dose.DoseReferenceStructureType, dose.DoseReferenceType = number, "SITE", kind
        if kind == "TARGET" and head["TargetPrescriptionDose"] is not None:
            dose.TargetPrescriptionDose = head["TargetPrescriptionDose"]
        dataset.DoseReferenceSequence.append(dose)
    group = Dataset()
    group.FractionGroupNumber, group.NumberOfFractionsPlanned = 1, head["NumberOfFractionsPlanned"]
    group.NumberOfBeams, group.NumberOfBrachyApplicationSetups = len(beams), 0
    group.ReferencedBeamSequence = _items(beams, "BeamDose", "BeamMeterset", ReferencedBeamNumber="BeamNumber")
    dataset.FractionGroupSequence = [group]
    dataset.BeamSequence = _items(beams, "BeamNumber", "BeamName", "TreatmentDeliveryType")


def _fill_record(dataset: Any, beams: list[dict[str, Any]]) -> None:
    from pydicom.dataset import Dataset

    head = beams[0]
    dataset.TreatmentDate = head["TreatmentDate"]
    plan = Dataset()
    plan.ReferencedSOPClassUID, plan.ReferencedSOPInstanceUID = CLASSES["RTPLAN"], head["ReferencedRTPlanUID"]
    dataset.ReferencedRTPlanSequence = [plan]
    dataset.TreatmentSessionBeamSequence = _items(
        beams, "CurrentFractionNumber", "TreatmentDeliveryType", "TreatmentTerminationStatus",
        "SpecifiedPrimaryMeterset", "DeliveredPrimaryMeterset", ReferencedBeamNumber="BeamNumber",
    )  # fmt: skip
