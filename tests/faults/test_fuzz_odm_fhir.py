"""Whatever the bytes, the ODM and FHIR readers return all-text rows or refuse with a reason, and soon."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import UnreadableFile
from pipelines.readers.odm import file_type
from pipelines.readers.odm_walk import LEVELS
from pipelines.readers.read import read

QUICK = settings(max_examples=40, deadline=5000, suppress_health_check=list(HealthCheck), derandomize=True)
LONG = settings(max_examples=3000, deadline=5000, suppress_health_check=list(HealthCheck))
ODM = {"format": "odm", "item_group": ["IG", ""]}
FHIR = {
    "format": "fhir", "resource": "Procedure", "profile": "x", "each": "extension('dose')",
    "columns": {
        "id": "id", "patient": "subject.reference('Patient')", "dose": ".extension('total').value", "first": "a[0].b",
    },
}  # fmt: skip
TREE = '<ODM xmlns="n" FileType="Snapshot"><ClinicalData><SubjectData SubjectKey="1"><StudyEventData StudyEventOID="E">'
TREE += '<FormData FormOID="F"><ItemGroupData ItemGroupOID="IG"><ItemData ItemOID="X" Value="1"/></ItemGroupData>'
TREE += "</FormData></StudyEventData></SubjectData></ClinicalData></ODM>"
RESOURCE = {
    "resourceType": "Procedure", "id": "1", "meta": {"profile": ["x"]}, "subject": {"reference": "Patient/1"},
    "extension": [{"url": "dose", "extension": [{"url": "total", "value": 1.5}]}], "a": [{"b": None}],
}  # fmt: skip
TEXTS = st.text(max_size=8)
NAMES = st.sampled_from([*LEVELS, "ItemData", "ItemDataString", "Value", "ItemGroupDef", "ItemRef", "Other", "ODM"])
ATTRIBUTES = st.sampled_from(
    ["SubjectKey", "StudyEventOID", "FormOID", "ItemGroupOID", "ItemOID", "OID", "Value", "IsNull", "TransactionType"]
)
VALUES = st.one_of(TEXTS, st.sampled_from(["IG", "X", "x", "Yes", "Remove", "Insert", "source_row", "SubjectKey"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*RESOURCE, "url", "value", "reference", "profile"]) | TEXTS, inner, max_size=4
        )
    ),
    max_leaves=12,
)


def attempt(content: bytes, spec: dict[str, object]) -> None:
    """Read the bytes; anything but rows of text or a reason is a failure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        try:
            table = read([("file", path)], spec)
            assert {str(t) for t in table.schema.types} == {"string"}
            assert table["source_row"].null_count == 0
            if spec is ODM:
                file_type(path)
        except UnreadableFile as error:
            assert error.problems and all(p.source_file == "file" and p.expected and p.action for p in error.problems)


@st.composite
def mutated(draw: st.DrawFn, valid: bytes) -> bytes:
    """A valid file with some pieces cut out, doubled or overwritten."""
    content = bytearray(valid)
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 30)))
        content[start:end] = draw(
            st.sampled_from([b"", bytes(content[start:end]) * 2, b"\0", b"\xff"]) | st.binary(max_size=9)
        )
    return bytes(content)


@st.composite
def tree(draw: st.DrawFn, depth: int = 0) -> str:
    """A random, mostly well-formed tree of the tags and attributes that the reader looks for."""
    from xml.sax.saxutils import escape, quoteattr

    name = "ODM" if depth == 0 else draw(NAMES)
    named = draw(st.dictionaries(ATTRIBUTES, VALUES, max_size=3))
    attributes = "".join(f" {k}={quoteattr(v)}" for k, v in named.items())
    inner = "" if depth > 5 else "".join(draw(st.lists(tree(depth + 1), max_size=3)))
    return f"<{name}{attributes}>{escape(draw(TEXTS))}{inner}</{name}>"


CASES = {
    "any bytes as ODM": (st.binary(max_size=300), ODM),
    "broken ODM": (mutated(TREE.encode()), ODM),
    "broken ODM in UTF-16": (mutated(TREE.encode("utf-16")), ODM),
    "any tree": (tree().map(lambda text: text.encode("utf-8", "replace")), ODM),
    "any bytes as FHIR": (st.binary(max_size=300), FHIR),
    "broken FHIR": (mutated((json.dumps(RESOURCE) + "\n").encode() * 3), FHIR),
    "any JSON": (st.lists(JSON, max_size=4).map(lambda docs: "\n".join(map(json.dumps, docs)).encode()), FHIR),
    "any resource": (
        st.dictionaries(st.sampled_from(sorted(RESOURCE)), JSON, max_size=5).map(
            lambda some: json.dumps(RESOURCE | some).encode()
        ),
        FHIR,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_rows_or_a_reason(case):
    content, spec = CASES[case]

    @QUICK
    @given(content)
    def check(data: bytes) -> None:
        attempt(data, spec)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_rows_or_a_reason_for_many(case):
    content, spec = CASES[case]

    @LONG
    @given(content)
    def check(data: bytes) -> None:
        attempt(data, spec)

    check()
