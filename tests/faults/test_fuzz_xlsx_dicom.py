"""Damaged workbooks and DICOM files: rows or a refusal, never another error, never a hang, never much memory."""

import io
import resource
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import UnreadableFile
from pipelines.readers import xlsx
from pipelines.readers.read import batches
from tests.centres.dicom_files import plan, record, written

XLS = Path(__file__).parents[1] / "centres" / "me2_invented.xls"
QUICK: dict[str, Any] = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
SWEEP = 60  # times as many examples in the long version
WORKBOOK = {"format": "xlsx", "sheet": "Lesioni", "header": {"find": ["Codice"], "within": 9}}
TAGS = (
    b"<row",
    b"<c ",
    b"</c>",
    b"<f>",
    b"<v>",
    b"</row>",
    b'r="',
    b'hidden="1"',
    b't="e"',
    b"<!DOCTYPE",
    b"XFD1048576",
    b"\0",
)


def workbook() -> bytes:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer) as book:
        sheet = book.add_worksheet("Lesioni")
        sheet.write_row(0, 0, ["Codice", "mm"])
        sheet.write_row(1, 0, ["PZ-1", 28.5])
        sheet.set_row(2, None, None, {"hidden": True})
        sheet.write_formula(2, 1, "=B2/10", None, 2.85)
    return buffer.getvalue()


SHEET = "xl/worksheets/sheet1.xml"
VALID = {"xlsx": workbook(), "xls": XLS.read_bytes()}
DICOM = {"RTPLAN": written(plan()), "RTRECORD": written(record("2.1", 1, (1, "TREATMENT", "150", "NORMAL")))}
EDIT = st.tuples(
    st.floats(0, 1), st.sampled_from(["set", "cut", "repeat", "insert"]), st.binary(min_size=1, max_size=9)
)


def mutated(data: bytes, edits: list[tuple[float, str, bytes]]) -> bytes:
    """Bytes that are replaced, cut out, repeated or inserted at places along the file."""
    for where, kind, new in edits:
        at = int(where * len(data))
        if kind == "set":
            data = data[:at] + new + data[at + len(new) :]
        elif kind == "cut":
            data = data[:at] + data[at + 7 * len(new) :]
        elif kind == "repeat":
            data = data[:at] + data[at : at + 40] * 3 + data[at + 40 :]
        else:
            data = data[:at] + new + data[at:]
    return data


def rezipped(book: bytes, member: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name == member else old.read(name))
    return buffer.getvalue()


def read_or_refused(folder: Path, data: bytes, spec: dict[str, Any], seconds: float) -> bool:
    """True if it could be read; whatever else than a refusal comes out fails the test."""
    path, begin = folder / "fuzzed", time.monotonic()
    path.write_bytes(data)
    xlsx._workbook.cache_clear()
    try:
        for _, batch in batches([("fuzzed", path)], spec):
            assert batch.column_names[0] == "source_row"
        return True
    except UnreadableFile as error:
        assert all(p.source_file == "fuzzed" and p.expected and p.action for p in error.problems)
        return False
    finally:
        assert time.monotonic() - begin < seconds


def fuzz_workbooks(folder: Path, examples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "SECONDS", 20)
    monkeypatch.setattr(xlsx, "MEMORY", 1 << 30)
    tag = st.tuples(st.floats(0, 1), st.just("insert"), st.sampled_from(TAGS))

    @settings(max_examples=examples, **QUICK)
    @given(kind=st.sampled_from([*VALID, SHEET, "xl/workbook.xml", "xl/sharedStrings.xml"]), data=st.data())
    def run(kind: str, data: st.DataObject) -> None:
        edits = data.draw(st.lists(EDIT | tag if kind not in VALID else EDIT, min_size=1, max_size=4))
        if kind in VALID:
            content = mutated(VALID[kind], edits)
        else:
            with zipfile.ZipFile(io.BytesIO(VALID["xlsx"])) as book:
                content = rezipped(VALID["xlsx"], kind, mutated(book.read(kind), edits))
        read_or_refused(folder, content, WORKBOOK, 25)

    assert all(read_or_refused(folder, valid, WORKBOOK, 25) for valid in VALID.values())
    run()


def fuzz_dicom(folder: Path, examples: int) -> None:
    @settings(max_examples=examples, **QUICK)
    @given(kind=st.sampled_from(list(DICOM)), edits=st.lists(EDIT, min_size=1, max_size=5))
    def run(kind: str, edits: list[tuple[float, str, bytes]]) -> None:
        read_or_refused(folder, mutated(DICOM[kind], edits), {"format": "dicom", "modality": kind}, 5)

    @settings(max_examples=examples, **QUICK)
    @given(
        data=st.binary(max_size=300),
        begin=st.sampled_from([b"", b"\x08\x00", b"\0" * 128 + b"DICM", b"\x02\x00\x00\x00UL"]),
    )
    def noise(data: bytes, begin: bytes) -> None:
        read_or_refused(folder, begin + data, {"format": "dicom", "modality": "RTPLAN"}, 5)

    assert all(read_or_refused(folder, d, {"format": "dicom", "modality": k}, 5) for k, d in DICOM.items())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run()
    noise()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10


def test_workbooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz_workbooks(tmp_path, 12, monkeypatch)


def test_dicom(tmp_path: Path) -> None:
    fuzz_dicom(tmp_path, 150)


@pytest.mark.slow
def test_many_workbooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz_workbooks(tmp_path, 12 * SWEEP, monkeypatch)


@pytest.mark.slow
def test_much_dicom(tmp_path: Path) -> None:
    fuzz_dicom(tmp_path, 150 * SWEEP)
