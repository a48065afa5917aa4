"""DICOM RTPLAN and RT Beams Treatment Records: one row per beam; a person's name is never read out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import Problem, UnreadableFile

AGAIN = "Export it again from the treatment planning or record system."
FILE = {
    "RTPLAN": ("PatientID", "PatientSex", "StudyID", "SOPInstanceUID", "RTPlanLabel", "RTPlanDate", "ApprovalStatus"),
    "RTRECORD": ("PatientID", "StudyID", "SOPInstanceUID", "TreatmentDate"),
}
GROUP = ("NumberOfFractionsPlanned", "TargetPrescriptionDose")
BEAM = {
    "RTPLAN": ("BeamNumber", "BeamName", "TreatmentDeliveryType", "BeamDose", "BeamMeterset"),
    "RTRECORD": ("ReferencedRTPlanUID", "BeamNumber", "CurrentFractionNumber", "TreatmentDeliveryType",
                 "TreatmentTerminationStatus", "SpecifiedPrimaryMeterset", "DeliveredPrimaryMeterset"),
}  # fmt: skip
# the last attributes of a file among them, so that one cut off between two attributes is seen
NEEDED = {
    "RTPLAN": ("PatientID", "SOPInstanceUID", "FractionGroupSequence", "BeamSequence", "ApprovalStatus"),
    "RTRECORD": ("PatientID", "SOPInstanceUID", "TreatmentDate", "TreatmentSessionBeamSequence",
                 "ReferencedRTPlanSequence"),
}  # fmt: skip
UNDEFINED_LENGTH = 0xFFFFFFFF
# little-endian group numbers that a data set without preamble may begin with
FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")


def read_file(path: Path, spec: Mapping[str, Any]) -> dict[str, list[str | None]]:
    """One row per beam of a file of `spec.modality` (RTPLAN or RTRECORD), none of another's; `source_row` is 1.

    Output columns: attributes by their DICOM keyword, as they stand in the file. TargetPrescriptionDose holds the
    distinct doses of all TARGET dose references, as DICOM separates values (`30\\24`). Raises `UnreadableFile` for a
    file that is no DICOM, cut off, or without what its rows need. Source: DICOM PS3.3, RT Plan and RT Beams Treatment
    Record.
    """
    modality = spec["modality"]
    dataset = _open(path)
    if "Modality" not in dataset:
        raise _incomplete("Modality")
    rows = []
    if dataset.Modality == modality:
        missing = [name for name in NEEDED[modality] if not dataset.get(name)]
        if missing:
            raise _incomplete(*missing)
        try:
            rows = _plan(dataset) if modality == "RTPLAN" else _record(dataset)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, EOFError):
            raise _incomplete(*NEEDED[modality]) from None
    columns = (*FILE[modality], *(GROUP if modality == "RTPLAN" else ()), *BEAM[modality])
    return {"source_row": ["1"] * len(rows), **{c: [row.get(c) for row in rows] for c in columns}}


def _open(path: Path) -> Any:
    """The data set, of which every attribute is as long as it says."""
    import logging

    import pydicom
    from pydicom.dataelem import RawDataElement

    # its warnings show values
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    with path.open("rb") as file:
        bare = file.read(2) in FIRST_GROUPS
    try:
        dataset = pydicom.dcmread(path, force=bare)
    except Exception:
        # whatever pydicom stumbles over in a damaged file; its own text may hold a value
        raise UnreadableFile([Problem("", "", "a DICOM file", AGAIN)]) from None
    raw: list[Any] = [e for tag in list(dataset.keys()) if isinstance(e := dataset.get_item(tag), RawDataElement)]
    if any(len(e.value or b"") < e.length != UNDEFINED_LENGTH for e in raw):
        raise UnreadableFile([Problem("", "", "a DICOM file that is not cut off", AGAIN)])
    return dataset


def _incomplete(*names: str) -> UnreadableFile:
    return UnreadableFile([Problem("", "", f"a complete file with {', '.join(names)}", AGAIN)])


def _text(dataset: Any, *names: str) -> dict[str, str | None]:
    """Attributes as text; decimal strings keep their digits."""
    values = {name: dataset.get(name) for name in names}
    return {n: None if v is None else str(getattr(v, "original_string", v)) for n, v in values.items()}


def _plan(dataset: Any) -> list[dict[str, str | None]]:
    """Beams of a plan with what its fraction group says of each."""
    targets = [r for r in dataset.get("DoseReferenceSequence") or [] if r.get("DoseReferenceType") == "TARGET"]
    doses = dict.fromkeys(dose for r in targets if (dose := _text(r, GROUP[1])[GROUP[1]]))
    head = {**_text(dataset, *FILE["RTPLAN"]), GROUP[1]: "\\".join(doses)}
    groups = {}
    for group in dataset.FractionGroupSequence:
        for beam in group.ReferencedBeamSequence:
            groups[str(beam.ReferencedBeamNumber)] = {**_text(group, GROUP[0]), **_text(beam, *BEAM["RTPLAN"][3:])}
    return [
        {**head, **_text(beam, *BEAM["RTPLAN"][:3]), **groups.get(str(beam.BeamNumber), {})}
        for beam in dataset.BeamSequence
    ]


def _record(dataset: Any) -> list[dict[str, str | None]]:
    """Beams of a session as they were delivered."""
    head = _text(dataset, *FILE["RTRECORD"])
    head["ReferencedRTPlanUID"] = str(dataset.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID)
    return [
        {**head, "BeamNumber": str(beam.ReferencedBeamNumber), **_text(beam, *BEAM["RTRECORD"][2:])}
        for beam in dataset.TreatmentSessionBeamSequence
    ]
