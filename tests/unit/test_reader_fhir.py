"""FHIR as NDJSON: lines in any dress, hostile lines by their number, bounded memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import study
from pipelines.errors import UnreadableFile
from pipelines.readers import fhir
from pipelines.readers.read import batches, notes_of, read

SAMPLES = Path(os.environ.get("RESTAGE_SAMPLES", study.ROOT.parent / "shared" / "samples")) / "fhir"
SPEC = {"format": "fhir", "resource": "Patient", "columns": {"id": "id", "version": "meta.versionId"}}


def patient(number: int, **more: object) -> str:
    return json.dumps({"resourceType": "Patient", "id": f"p{number}", "meta": {"versionId": "1"}, **more})


def rows(path: Path, **spec: object) -> list[tuple[str | None, ...]]:
    return [tuple(r.values())[1:] for r in read([("p.ndjson", path)], {**SPEC, **spec}).to_pylist()]


def refusal(path: Path) -> list[tuple[str, str]]:
    with pytest.raises(UnreadableFile) as error:
        read([("p.ndjson", path)], SPEC)
    return [(p.place, p.expected) for p in error.value.problems]


def test_byte_order_mark_line_ends_and_blank_lines(tmp_path):
    path = tmp_path / "p.ndjson"
    path.write_bytes(f"\ufeff{patient(1)}\r\n\r\n \t\n{patient(2)}".encode())
    assert rows(path) == [("1", "p1", "1"), ("4", "p2", "1")]
    path.write_bytes(b"")
    assert rows(path) == []
    assert read([("p.ndjson", path)], SPEC).column_names == ["source_file", "source_row", "id", "version"]


def test_a_profile_is_the_same_with_its_version(tmp_path):
    path = tmp_path / "p.ndjson"
    profiles = ("https://x.org/one|1.0.0", "https://x.org/one", "https://x.org/other|1.0.0")
    path.write_text("\n".join(patient(n, meta={"profile": [p]}) for n, p in enumerate(profiles)))
    assert [r[1] for r in rows(path, profile="one")] == ["p0", "p1"]
    assert [r[1] for r in rows(path, profile="one|1.0.0")] == ["p0"]


def test_what_nothing_reads_is_noted_once_with_its_number_and_first_line(tmp_path, monkeypatch):
    monkeypatch.setattr(fhir, "BATCH", 2)
    path = tmp_path / "p.ndjson"
    named = {"meta": {"profile": ["https://x.org/one"]}}
    bundle = json.dumps({"resourceType": "Bundle", "entry": [{"resource": json.loads(patient(9, **named))}]})
    other = json.dumps({"resourceType": "Group", "id": "Bundle"})
    path.write_text("\n".join([patient(1, **named), other, patient(2), bundle, patient(3), patient(4, meta={})]))

    def notes(**spec: object) -> list[list[str | None]]:
        return [note for _, batch in batches([("p", path)], {**SPEC, **spec}) for note in notes_of(batch)]

    in_bundle = ["structure/not_read", "4", "Bundle", "1", "one resource a line, outside of a Bundle"]
    without = ["structure/not_read", "3", "meta.profile", "3", "a resource that names its profile"]
    assert sorted(notes(profile="one")) == [without, in_bundle]
    assert notes() == [in_bundle]
    assert [r[1] for r in rows(path, profile="one")] == ["p1"]


def test_a_line_separator_inside_a_text_ends_no_line(tmp_path):
    path = tmp_path / "p.ndjson"
    path.write_text(json.dumps({"resourceType": "Patient", "id": "a\u2028b\x85"}, ensure_ascii=False) + "\n", "utf-8")
    assert rows(path) == [("1", "a\u2028b\x85", None)]


def test_batches_keep_order_and_line_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(fhir, "BATCH", 7)
    path = tmp_path / "p.ndjson"
    path.write_text("\n".join(patient(i) for i in range(50)))
    assert rows(path) == [(str(i + 1), f"p{i}", "1") for i in range(50)]
    assert len(list(batches([("p.ndjson", path)], SPEC))) == 8


def test_every_broken_line_of_all_batches_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(fhir, "BATCH", 2)
    path = tmp_path / "p.ndjson"
    good = patient(1).encode()
    path.write_bytes(b"\n".join([good, b"{", good, good, b"[1]", b'"x"', b"\xff", good, b"{}\0", b"1", good]))
    found = refusal(path)
    assert [place for place, _ in found] == ["line 2", "line 5", "line 6", "line 7", "line 9", "line 10"]
    assert {what for _, what in found} == {"one JSON object", "text in UTF-8"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "at most 200 levels"),
        (b"[" * (1 << 20), "at most 200 levels"),
        (b'{"a":"' + b'\\"' * (1 << 20), "one JSON object"),
        (b'"' * (1 << 20), "one JSON object"),
        (b"\0" * 100_000, "one JSON object"),
        (b'{"resourceType": "Patient", "id": "' + b"x" * (17 << 20) + b'"}', "at most 16 MB in a line"),
        (b"PK\3\4" + bytes(range(256)) * 9, ""),
        (b"<ODM/>", "one JSON object"),
    ],
)  # fmt: skip
def test_hostile_lines(tmp_path, line, expected):
    path = tmp_path / "p.ndjson"
    path.write_bytes(patient(1).encode() + b"\n" + line)
    found = refusal(path)
    assert found[0][0] == "line 2" and expected in found[0][1]


def test_a_bundle_is_no_line_of_its_own(tmp_path):
    """A pretty-printed bundle is JSON, but not one resource a line."""
    path = tmp_path / "p.ndjson"
    path.write_text(json.dumps({"resourceType": "Bundle", "entry": []}, indent=1))
    assert ("line 1", "one JSON object") in refusal(path)


MEASURE = """
import resource, sys
from pathlib import Path
from pipelines.readers.read import batches
import pyarrow
spec = {"format": "fhir", "resource": "Patient", "columns": {"id": "id"}}
n = sum(len(table) for _, table in batches([("p", Path(sys.argv[1]))], spec))
print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_file(tmp_path):
    def peak(n: int) -> int:
        path = tmp_path / f"{n}.ndjson"
        with path.open("w") as file:
            file.writelines(patient(i, note="x" * 400) + "\n" for i in range(n))
        done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
        n_read, kilobytes = map(int, done.stdout.split())
        assert n_read == n
        return kilobytes

    # 55 and 220 MB
    assert peak(400_000) < peak(100_000) + 60_000


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no public samples here")
@pytest.mark.parametrize("path", sorted(SAMPLES.glob("mcode-json/*.json")), ids=lambda p: p.stem)
def test_public_bundles(path, tmp_path):
    """As they are they are refused; their resources, one a line, are all read."""
    assert refusal(path)
    resources = [entry["resource"] for entry in json.loads(path.read_text(encoding="utf-8"))["entry"]]
    lines = tmp_path / "all.ndjson"
    lines.write_text("\n".join(map(json.dumps, resources)), encoding="utf-8")
    for kind in {r["resourceType"] for r in resources}:
        expected = [r["id"] for r in resources if r["resourceType"] == kind]
        assert [row[1] for row in rows(lines, resource=kind)] == expected
