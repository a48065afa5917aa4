"""DICOM: the kind of a file by its head, what of it is read, what is refused, and the public samples."""

import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from pipelines import study
from pipelines.errors import UnreadableFile
from pipelines.readers import dicom
from pipelines.readers.read import batches, notes_of, read
from tests.centres.dicom_files import image, item, plan, record, written

SAMPLES = Path(os.environ.get("RESTAGE_SAMPLES", study.ROOT.parent / "shared" / "samples"))
PLAN = {"format": "dicom", "modality": "RTPLAN"}
RECORD = {"format": "dicom", "modality": "RTRECORD"}
WHOLE = (1, "TREATMENT", "150", "NORMAL")
public = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the public samples are not here")


def saved(tmp_path: Path, content: Any, name: str = "x.dcm") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else written(content))
    return path


def expected(path: Path, spec: dict[str, str] = PLAN) -> str:
    with pytest.raises(UnreadableFile) as error:
        list(batches([(path.name, path)], spec))
    (problem,) = error.value.problems
    return problem.expected


def test_a_batch_per_file_and_none_of_the_other_kind(tmp_path: Path) -> None:
    files = [("a", saved(tmp_path, plan(), "a")), ("b", saved(tmp_path, record("2.1", 4, WHOLE), "b"))]
    assert [(name, len(batch), notes_of(batch)) for name, batch in batches(files, PLAN)] == [("a", 3, []), ("b", 0, [])]
    (row,) = read(files, RECORD).to_pylist()
    assert (row["source_file"], row["CurrentFractionNumber"], row["BeamNumber"]) == ("b", "4", "1")


def test_another_modality_is_noted_and_only_its_head_is_read(tmp_path: Path) -> None:
    big = image()
    big.PixelData = b"\0" * (60 << 20)
    big["PixelData"].VR = "OW"
    path = saved(tmp_path, big)
    tracemalloc.start()
    ((_, batch),) = batches([("x", path)], PLAN)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert notes_of(batch) == [["structure/other_modality", "1", None, "CT", "RTPLAN or RTRECORD"]]
    assert len(batch) == 0 and peak < 8 << 20


@pytest.mark.parametrize("spec", [PLAN, RECORD])
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, spec: dict[str, str]) -> None:
    whole = written(plan() if spec is PLAN else record("2.1", 1, WHOLE))
    for length in range(1, len(whole), 11):
        assert expected(saved(tmp_path, whole[:length]), spec), length


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert expected(saved(tmp_path, b"<html>not found</html>")) == "a DICOM file"
    assert expected(saved(tmp_path, b"\0" * 500)) == "a DICOM file"
    without = plan()
    del without.BeamSequence
    assert expected(saved(tmp_path, without)) == "a complete file with BeamSequence"
    nothing = item(SOPClassUID="1.2", SOPInstanceUID="1.3", PatientID="1")
    assert expected(saved(tmp_path, nothing)) == "a complete file with Modality"
    deflated = written(plan()).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"[:20])
    assert deflated != written(plan())
    monkeypatch.setattr(dicom, "DEFLATED", b"1.2.840.10008.1.2.1.")
    assert expected(saved(tmp_path, deflated)) == "a DICOM file that is not deflated"
    monkeypatch.undo()
    monkeypatch.setattr(dicom, "MOST_ITEMS", 5)
    assert "at most 32 MB and 5 items" in expected(saved(tmp_path, plan()))


@pytest.mark.parametrize(
    ("element", "kind"),
    [(b"\x08\x30\x50\x02", b"DA"), (b"\x10\x00\x20\x00", b"LO")],  # (3008,0250) Treatment Date, (0010,0020) Patient ID
)
def test_an_element_of_a_kind_that_does_not_exist_is_refused(tmp_path: Path, element: bytes, kind: bytes) -> None:
    whole = written(record("2.1", 1, WHOLE))
    assert whole.count(element + kind) == 1
    assert expected(saved(tmp_path, whole.replace(element + kind, element + kind[:1] + b"\0")), RECORD)


def test_a_name_is_never_read(tmp_path: Path) -> None:
    assert "Rossi" not in str(read([("x", saved(tmp_path, plan()))], PLAN).to_pylist())


@public
def test_the_public_plan_loads_and_the_truncated_one_is_rejected() -> None:
    folder = SAMPLES / "dicom" / "pydicom"
    (row,) = read([("rtplan.dcm", folder / "rtplan.dcm")], PLAN).to_pylist()
    assert (row["BeamName"], row["TargetPrescriptionDose"], row["ApprovalStatus"]) == (
        "Field 1", "30.8262030000000", "UNAPPROVED",
    )  # fmt: skip
    assert expected(folder / "rtplan_truncated.dcm") == "a DICOM file that is not cut off"


@public
@pytest.mark.parametrize(("name", "n_rows"), [("Ident", 823), ("Site", 359), ("TrackTreatment", 251)])
def test_the_public_extract_of_a_record_system_loads(name: str, n_rows: int) -> None:
    import csv

    path = SAMPLES / "mosaiq" / f"{name}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        assert sum(1 for _ in csv.reader(file)) - 1 == n_rows
    assert len(read([(path.name, path)], {"format": "csv"})) == n_rows
