"""DICOM RTPLAN and RT Beams Treatment Records: one row per beam; a person's name is never read out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import Problem, UnreadableFile

AGAIN = "Export it again from the treatment planning or record system."
HEAD = {
    "RTPLAN": ("PatientID", "PatientSex", "StudyID", "SOPInstanceUID", "RTPlanLabel", "RTPlanDate", "ApprovalStatus"),
    "RTRECORD": ("PatientID", "StudyID", "SOPInstanceUID", "TreatmentDate"),
}
BEAM = {
    "RTPLAN": ("BeamNumber", "BeamName", "TreatmentDeliveryType"),
    "RTRECORD": ("CurrentFractionNumber", "TreatmentDeliveryType", "TreatmentTerminationStatus",
                 "SpecifiedPrimaryMeterset", "DeliveredPrimaryMeterset"),
}  # fmt: skip


def read_file(path: Path, spec: Mapping[str, Any]) -> dict[str, list[str | None]]:
    """One row per beam of a file of the modality that spec names, none of another's; `source_row` is 1."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    modality = spec["modality"]
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        if dataset.get("Modality") != modality:
            rows = []
        else:
            rows = _plan(dataset) if modality == "RTPLAN" else _record(dataset)
    except InvalidDicomError:
        raise UnreadableFile([Problem("", "", "a DICOM file with its preamble", AGAIN)]) from None
    except (AttributeError, KeyError, IndexError, EOFError, ValueError):
        raise UnreadableFile([Problem("", "", f"a complete {modality} (parts are missing)", AGAIN)]) from None
    extra = ("NumberOfFractionsPlanned", "TargetPrescriptionDose", "BeamDose", "BeamMeterset")
    more = extra if modality == "RTPLAN" else ("ReferencedRTPlanUID", "BeamNumber")
    columns = (*HEAD[modality], *BEAM[modality], *more)
    return {"source_row": ["1"] * len(rows), **{c: [row.get(c) for row in rows] for c in columns}}


def _text(dataset: Any, names: tuple[str, ...]) -> dict[str, str | None]:
    """Attributes as they stand in the file; decimal strings keep their digits."""
    values = {name: dataset.get(name) for name in names}
    return {n: None if v is None else str(getattr(v, "original_string", v)) for n, v in values.items()}


def _plan(dataset: Any) -> list[dict[str, str | None]]:
    group = dataset.FractionGroupSequence[0]
    doses = {int(r.ReferencedBeamNumber): r for r in group.ReferencedBeamSequence}
    targets = [r for r in dataset.get("DoseReferenceSequence", []) if r.get("DoseReferenceType") == "TARGET"]
    shared = {
        **_text(dataset, HEAD["RTPLAN"]),
        **_text(group, ("NumberOfFractionsPlanned",)),
        **(_text(targets[0], ("TargetPrescriptionDose",)) if targets else {}),
    }
    return [
        {
            **shared,
            **_text(beam, BEAM["RTPLAN"]),
            **(_text(doses[number], ("BeamDose", "BeamMeterset")) if (number := int(beam.BeamNumber)) in doses else {}),
        }
        for beam in dataset.BeamSequence
    ]


def _record(dataset: Any) -> list[dict[str, str | None]]:
    plans = dataset.get("ReferencedRTPlanSequence") or []
    plan = str(plans[0].ReferencedSOPInstanceUID) if plans else None
    return [
        {
            **_text(dataset, HEAD["RTRECORD"]),
            "ReferencedRTPlanUID": plan,
            "BeamNumber": str(beam.get("ReferencedBeamNumber", beam.get("BeamNumber", ""))),
            **_text(beam, BEAM["RTRECORD"]),
        }
        for beam in dataset.TreatmentSessionBeamSequence
    ]
