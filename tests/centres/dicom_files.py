"""Small invented DICOM plans and treatment records, for the tests of the reader and of the centre that sends them."""

from io import BytesIO
from typing import Any

PLAN, RECORD, CT = (f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("481.5", "481.4", "2"))


def item(**attributes: Any) -> Any:
    from pydicom.dataset import Dataset

    made = Dataset()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def written(data: Any, bare: bool = False) -> bytes:
    from pydicom import dcmwrite
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = (
        data.SOPClassUID,
        data.SOPInstanceUID,
    )
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    dcmwrite(buffer, data, enforce_file_format=True)
    return buffer.getvalue()[132 * bare :]


def plan(
    uid: str = "1.1", doses: tuple[str, ...] = ("30",), approval: str = "APPROVED", fractions: int = 10, **more: Any
) -> Any:
    """Two treatment beams of half a fraction each, and a setup beam."""
    references = [item(DoseReferenceType="TARGET", TargetPrescriptionDose=dose) for dose in doses]
    beams = [item(ReferencedBeamNumber=n, BeamDose="1.5", BeamMeterset="150") for n in (1, 2)]
    kinds = enumerate(("TREATMENT", "TREATMENT", "SETUP"), 1)
    references.append(item(DoseReferenceType="ORGAN_AT_RISK"))
    beams.append(item(ReferencedBeamNumber=3))
    return item(
        SOPClassUID=PLAN, SOPInstanceUID=uid, Modality="RTPLAN", PatientName="Rossi^Mario", PatientID="R3-1",
        StudyID="C1", RTPlanDate="20150101", ApprovalStatus=approval, DoseReferenceSequence=references,
        FractionGroupSequence=[item(NumberOfFractionsPlanned=fractions, ReferencedBeamSequence=beams)],
        BeamSequence=[item(BeamNumber=n, TreatmentDeliveryType=kind) for n, kind in kinds], **more,
    )  # fmt: skip


def record(uid: str, number: int, *beams: tuple[int, str, str, str], day: str = "20150112", of: str = "1.1") -> Any:
    """Beams as number, delivery type, delivered meterset of 150, and how they ended."""
    session = [
        item(ReferencedBeamNumber=n, CurrentFractionNumber=number, TreatmentDeliveryType=kind,
             TreatmentTerminationStatus=end, SpecifiedPrimaryMeterset="150", DeliveredPrimaryMeterset=meterset)
        for n, kind, meterset, end in beams
    ]  # fmt: skip
    referenced = item(ReferencedSOPClassUID=PLAN, ReferencedSOPInstanceUID=of)
    return item(
        SOPClassUID=RECORD, SOPInstanceUID=uid, Modality="RTRECORD", PatientName="", PatientID="R3-1", StudyID="C1",
        TreatmentDate=day, ReferencedRTPlanSequence=[referenced], TreatmentSessionBeamSequence=session,
    )  # fmt: skip


def image() -> Any:
    return item(
        SOPClassUID=CT, SOPInstanceUID="1.9", Modality="CT", PatientName="Rossi^Mario", PatientID="R3-1", StudyID="C1"
    )
