"""DICOM RTPLAN and RT Beams Treatment Records: one row per beam; a person's name is never read out."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import Problem, UnreadableFile
from pipelines.readers.read import text_table, with_notes

if TYPE_CHECKING:
    import pyarrow as pa

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
OTHER = "structure/other_modality"
UNCUT = "a DICOM file that is not cut off"
DEFLATED = b"1.2.840.10008.1.2.1.99"
MODALITY = 0x00080060
ITEM = b"\xfe\xff\x00\xe0"
HEAD, MOST_BYTES, MOST_ITEMS = 1 << 20, 32 << 20, 300_000
UNDEFINED_LENGTH = 0xFFFFFFFF
# little-endian group numbers that a data set without preamble may begin with
FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")


def batches(path: Path, spec: Mapping[str, Any]) -> Iterator["pa.Table"]:
    """One row per beam of a file of `spec.modality` (RTPLAN or RTRECORD), none of another's; `source_row` is 1.

    Output columns: attributes by their DICOM keyword, as they stand in the file. TargetPrescriptionDose holds the
    distinct doses of all TARGET dose references, as DICOM separates values (`30\\24`). A file that is neither plan nor
    record (an image, a dose grid) has no rows and a note, and of it no more than its head is read. Raises
    `UnreadableFile` for a file that is no DICOM, cut off, or without what its rows need. Source: DICOM PS3.3, RT Plan
    and RT Beams Treatment Record.
    """
    modality, about = spec["modality"], path.stat()
    kind = _modality(path, about.st_size, about.st_mtime_ns)
    rows = []
    if kind == modality:
        dataset = _open(path)
        try:
            missing = [name for name in NEEDED[modality] if not dataset.get(name)]
            rows = [] if missing else _plan(dataset) if modality == "RTPLAN" else _record(dataset)
        except Exception:
            # values are parsed only now, and pydicom has many ways to stumble over them
            raise _incomplete(*NEEDED[modality]) from None
        if missing:
            raise _incomplete(*missing)
    table = _table(modality, rows) if rows else _no_rows(modality)
    yield with_notes(table, [(OTHER, "1", None, kind, " or ".join(FILE))] if kind not in FILE else [])


def _table(modality: str, rows: Sequence[Mapping[str, str | None]]) -> "pa.Table":
    columns = (*FILE[modality], *(GROUP if modality == "RTPLAN" else ()), *BEAM[modality])
    return text_table({"source_row": ["1"] * len(rows), **{c: [row.get(c) for row in rows] for c in columns}})


@cache
def _no_rows(modality: str) -> "pa.Table":
    return _table(modality, [])


# plans and records are two sources of the same files
@lru_cache(maxsize=1 << 18)
def _modality(path: Path, size: int, changed: int) -> str:
    """What kind of file it is, by its head alone; of the same file again without reading it again."""
    import pydicom
    from pydicom.filereader import read_partial

    _quiet()
    with path.open("rb") as file:
        head = file.read(HEAD)
    # an inflated data set may be a thousand times as large as the file
    if DEFLATED in head:
        raise UnreadableFile([Problem("", "", "a DICOM file that is not deflated", AGAIN)])
    try:
        begin = read_partial(BytesIO(head), stop_when=lambda tag, _, __: tag > MODALITY, force=head[:2] in FIRST_GROUPS)
        raw = begin.get_item(MODALITY)
        cut = raw is not None and len(raw.value or b"") < getattr(raw, "length", 0)
        kind = begin.get("Modality")
    except Exception as error:
        expected = "a DICOM file" if isinstance(error, pydicom.errors.InvalidDicomError) else UNCUT
        raise UnreadableFile([Problem("", "", expected, AGAIN)]) from None
    if cut:
        raise UnreadableFile([Problem("", "", UNCUT, AGAIN)])
    if not kind:
        raise _incomplete("Modality")
    return str(kind)


def _quiet() -> None:
    import logging
    import warnings

    import pydicom

    # its warnings show values
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom")
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


def _open(path: Path) -> Any:
    """The data set, of which every attribute is as long as it says."""
    import pydicom
    from pydicom.dataelem import RawDataElement

    data = path.read_bytes() if path.stat().st_size <= MOST_BYTES else b""
    if not data or DEFLATED in data or data.count(ITEM) > MOST_ITEMS:
        expected = f"a plan or record of at most {MOST_BYTES >> 20} MB and {MOST_ITEMS:,} items, not deflated"
        raise UnreadableFile([Problem("", "", expected, AGAIN)])
    try:
        dataset = pydicom.dcmread(BytesIO(data), force=data[:2] in FIRST_GROUPS)
        raw: list[Any] = [e for tag in list(dataset.keys()) if isinstance(e := dataset.get_item(tag), RawDataElement)]
    except Exception:
        # whatever pydicom stumbles over in a damaged file; its own text may hold a value
        raise UnreadableFile([Problem("", "", "a DICOM file", AGAIN)]) from None
    if any(len(e.value or b"") < e.length != UNDEFINED_LENGTH for e in raw):
        raise UnreadableFile([Problem("", "", UNCUT, AGAIN)])
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
    doses = [dose for r in targets if (dose := _text(r, GROUP[1])[GROUP[1]])]
    head = {**_text(dataset, *FILE["RTPLAN"]), GROUP[1]: "\\".join(_distinct(doses))}
    groups = {}
    for group in dataset.FractionGroupSequence:
        for beam in group.ReferencedBeamSequence:
            groups[str(beam.ReferencedBeamNumber)] = {**_text(group, GROUP[0]), **_text(beam, *BEAM["RTPLAN"][3:])}
    return [
        {**head, **_text(beam, *BEAM["RTPLAN"][:3]), **groups.get(str(beam.BeamNumber), {})}
        for beam in dataset.BeamSequence
    ]


def _distinct(numbers: Sequence[str]) -> list[str]:
    """Numbers that differ in value, the first text of each: 30 and 30.00 are one dose."""
    found: dict[object, str] = {}
    for text in numbers:
        try:
            found.setdefault(Decimal(text.strip()), text)
        except InvalidOperation:
            found.setdefault(text, text)
    return list(found.values())


def _record(dataset: Any) -> list[dict[str, str | None]]:
    """Beams of a session as they were delivered."""
    head = _text(dataset, *FILE["RTRECORD"])
    head["ReferencedRTPlanUID"] = str(dataset.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID)
    return [
        {**head, "BeamNumber": str(beam.ReferencedBeamNumber), **_text(beam, *BEAM["RTRECORD"][2:])}
        for beam in dataset.TreatmentSessionBeamSequence
    ]
