"""ODM-XML: transactions and removals as rows, ODM 2.0, one pass within bounded memory, and what is refused."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import study
from pipelines.errors import UnreadableFile
from pipelines.readers import odm, odm_spill
from pipelines.readers.odm import file_type
from pipelines.readers.read import read

INSERT, REMOVE = 'TransactionType="Insert"', 'TransactionType="Remove"'
HEAD = '<ODM xmlns="http://www.cdisc.org/ns/odm/v1.3" xmlns:v="http://vendor" ODMVersion="1.3.2" FileType="{}">'
SAMPLES = Path(os.environ.get("RESTAGE_SAMPLES", study.ROOT.parent / "shared" / "samples")) / "odm"


def odm_file(path: Path, body: str, kind: str = "Snapshot") -> Path:
    path.write_text(f"{HEAD.format(kind)}<ClinicalData>{body}</ClinicalData></ODM>", encoding="utf-8")
    return path


def group(oid: str, items: str = "", attributes: str = "") -> str:
    return f'<ItemGroupData ItemGroupOID="{oid}" {attributes}>{items}</ItemGroupData>'


def item(oid: str, value: str = "v") -> str:
    return f'<ItemData ItemOID="{oid}" Value="{value}"/>'


def rows(path: Path, oid: str, *columns: str, **spec) -> list[tuple[str | None, ...]]:
    table = read([("o.xml", path)], {"format": "odm", "item_group": oid, **spec})
    return [tuple(row.get(c) for c in columns) for row in table.to_pylist()]


def refusal(path: Path) -> list[tuple[str, str]]:
    with pytest.raises(UnreadableFile) as error:
        read([("o.xml", path)], {"format": "odm", "item_group": "IG"})
    assert all(p.source_file == "o.xml" and p.action for p in error.value.problems)
    return [(p.place, p.expected) for p in error.value.problems]


def test_a_removal_above_an_item_group_is_a_row_of_each_in_its_place(tmp_path):
    body = f"""<SubjectData SubjectKey="1"><StudyEventData StudyEventOID="E">
        <FormData FormOID="F">{group("A")}{group("B")}</FormData></StudyEventData></SubjectData>
        <SubjectData SubjectKey="1" TransactionType="Remove"/>
        <SubjectData SubjectKey="1"><StudyEventData StudyEventOID="E">
        <FormData FormOID="F" TransactionType="Remove"/><FormData FormOID="G">{group("A", "", INSERT)}
        </FormData></StudyEventData></SubjectData>"""
    path = odm_file(tmp_path / "o.xml", body, "Transactional")
    columns = ("source_row", "SubjectKey", "StudyEventOID", "FormOID", "ItemGroupOID", "TransactionType")
    assert rows(path, "A", *columns) == [
        ("1", "1", "E", "F", "A", None),
        ("SubjectData!2", "1", None, None, None, "Remove"),
        ("FormData!2", "1", "E", "F", None, "Remove"),
        ("3", "1", "E", "G", "A", "Insert"),
    ]
    assert [r for (r,) in rows(path, "B", "source_row")] == ["2", "SubjectData!2", "FormData!2"]


def test_items_stated_to_be_blank_are_told_from_those_left_out(tmp_path):
    items = """<ItemData ItemOID="X" IsNull="Yes"/><ItemData ItemOID="Y" Value=""/><ItemData ItemOID="Z" Value="z"/>
        <ItemData ItemOID="W" TransactionType="Remove" Value="w"/>"""
    path = odm_file(tmp_path / "o.xml", f'<SubjectData SubjectKey="1">{group("A", items)}</SubjectData>')
    assert rows(path, "A", "X", "Y", "Z", "W", "IsNull") == [(None, None, "z", None, "X Y W")]


@pytest.mark.parametrize(
    ("items", "value", "nulls"),
    [
        (item("X", "64") + item("X", "46"), "64 | 46", None),
        (item("X", "64") + item("X", "64"), "64", None),
        ('<ItemData ItemOID="X" Value="64" IsNull="Yes"/>', "64 | IsNull", None),
        (item("X", "64") + '<ItemData ItemOID="X" IsNull="Yes"/>', "64 | IsNull", None),
        ('<ItemData ItemOID="X" IsNull="Yes"/>' * 2, None, "X"),
        (item("X", "64") + '<ItemData ItemOID="X" Value="46" TransactionType="Update"/>', "46", None),
        (item("X", "64") + '<ItemData ItemOID="X" TransactionType="Remove"/>', None, "X"),
    ],
)
def test_what_is_said_of_an_item_twice_is_given_as_a_whole(tmp_path, items, value, nulls):
    """No type reads two values, so they are asked; what a change of the item replaces no longer holds."""
    path = odm_file(tmp_path / "o.xml", f'<SubjectData SubjectKey="1">{group("A", items)}</SubjectData>')
    assert rows(path, "A", "X", "IsNull") == [(value, nulls)]


def test_a_value_stands_with_the_unit_that_the_file_states_for_it(tmp_path):
    """By its own reference, else by the only one of its item; as people write it, where the file says how."""
    refs = {u: f'<MeasurementUnitRef MeasurementUnitOID="MU.{u}"/>' for u in ("MM", "CM", "IN")}
    study = (
        '<Study OID="S"><BasicDefinitions><MeasurementUnit OID="MU.MM" Name="millimetre"/><MeasurementUnit OID="MU.CM" '
        'Name="c"><Symbol><TranslatedText> cm\n</TranslatedText><TranslatedText xml:lang="it">x</TranslatedText>'
        '</Symbol></MeasurementUnit></BasicDefinitions><MetaDataVersion OID="1">'
        f'<ItemDef OID="X"><RangeCheck>{refs["CM"]}</RangeCheck>{refs["MM"]}</ItemDef>'
        f'<ItemDef OID="Y">{refs["MM"]}{refs["CM"]}</ItemDef></MetaDataVersion></Study>'
    )
    values = [("X", ""), ("X", refs["CM"]), ("Y", ""), ("Y", refs["CM"]), ("Z", refs["IN"]), ("Z", "")]
    groups = "".join(group("A", f'<ItemData ItemOID="{oid}" Value="2.5">{ref}</ItemData>') for oid, ref in values)
    groups += "".join(group("A", f'<ItemData ItemOID="X" Value="{no_amount}"/>') for no_amount in ("ND", "  "))
    groups += group("A", '<ItemDataFloat ItemOID="X" MeasurementUnitOID="MU.CM">2.5</ItemDataFloat>')
    path = tmp_path / "o.xml"
    path.write_text(f'{HEAD.format("Snapshot")}{study}<ClinicalData><SubjectData SubjectKey="1">{groups}</SubjectData>'
                    "</ClinicalData></ODM>", encoding="utf-8")  # fmt: skip
    found = [x or y or z for x, y, z in rows(path, "A", "X", "Y", "Z")]
    assert found == ["2.5 millimetre", "2.5 cm", "2.5", "2.5 cm", "2.5 MU.IN", "2.5", "ND", "  ", "2.5 cm"]


def test_vendor_attributes_elements_and_audit_texts_are_no_values(tmp_path):
    items = """<ItemDataString ItemOID="X"><!-- c -->a<v:Note>b</v:Note></ItemDataString>
        <ItemData ItemOID="Y" v:Value="1"><AuditRecord><ReasonForChange>typo</ReasonForChange></AuditRecord>
        <Value>2</Value><Value>3</Value></ItemData><v:ItemData ItemOID="Q" Value="q"/>"""
    body = f'<SubjectData v:SubjectKey="vendor" SubjectKey="1" v:x="y">{group("A", items)}</SubjectData>'
    table = read([("o.xml", odm_file(tmp_path / "o.xml", body))], {"format": "odm", "item_group": "A"})
    assert "Q" not in table.column_names
    row = table.to_pylist()[0]
    assert (row["SubjectKey"], row["Y"]) == ("1", "2|3")
    assert row["X"] == "a"


@pytest.mark.parametrize("space", ["http://www.cdisc.org/ns/odm/v1.2", ""])
def test_a_subject_in_another_namespace_is_refused(tmp_path, space):
    body = f'<SubjectData SubjectKey="1"/>\n<SubjectData xmlns="{space}" SubjectKey="2"/>'
    path = odm_file(tmp_path / "o.xml", body)
    assert refusal(path) == [("line 2", "SubjectData in the namespace of the ODM element")]


def test_in_odm_2_the_outermost_item_group_is_the_form(tmp_path):
    inner = group("IG", '<ItemData ItemOID="X"><Value>1</Value></ItemData>', 'ItemGroupRepeatKey="2"')
    outer = group("F", group("S", inner, 'ItemGroupRepeatKey="7"'))
    path = tmp_path / "o.xml"
    path.write_text(
        '<ODM xmlns="http://www.cdisc.org/ns/odm/v2.0" ODMVersion="2.0"><ClinicalData><SubjectData SubjectKey="1">'
        f'<StudyEventData StudyEventOID="E">{outer}{group("F", "", REMOVE)}'
        "</StudyEventData></SubjectData></ClinicalData></ODM>"
    )
    columns = ("source_row", "StudyEventOID", "FormOID", "FormRepeatKey", "ItemGroupOID", "ItemGroupRepeatKey", "X")
    assert rows(path, "IG", *columns) == [
        ("3", "E", "F", "7", "IG", "2", "1"),
        ("ItemGroupData!4", "E", "F", None, None, None, None),
    ]


def test_many_rows_come_in_document_order_and_one_pass_serves_all_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(odm_spill, "BATCH", 7)
    passes = []
    parse = odm._read
    monkeypatch.setattr(odm, "_read", lambda *about: (passes.append(1), parse(*about)))
    subjects = "".join(
        f'<SubjectData SubjectKey="{i}">{group("A", item(f"I{i % 3}"))}'
        f"{group('B')}</SubjectData>"
        + (f'<SubjectData SubjectKey="{i}" TransactionType="Remove"/>' if i % 5 == 0 else "")
        for i in range(100)
    )
    path = odm_file(tmp_path / "o.xml", subjects)
    found = rows(path, "A", "SubjectKey", "TransactionType", scratch=tmp_path)
    expected = [(str(i), kind) for i in range(100) for kind in ((None, "Remove") if i % 5 == 0 else (None,))]
    assert found == expected
    assert len(rows(path, "B", "SubjectKey", scratch=tmp_path)) == 120
    assert rows(path, "C", "SubjectKey", scratch=tmp_path)[0] == ("0",)
    assert len(passes) == 1


def test_a_broken_file_is_parsed_once_and_refused_for_every_group(tmp_path):
    path = tmp_path / "o.xml"
    path.write_text("<ODM>\n<x>")
    for oid in ("A", "B"):
        with pytest.raises(UnreadableFile):
            rows(path, oid, scratch=tmp_path)


def test_file_type_reads_no_further_than_the_root(tmp_path):
    path = tmp_path / "o.xml"
    path.write_text(HEAD.format("Transactional") + "<x>" * 9000 + "\0")
    assert file_type(path) == "Transactional"
    path.write_text("<ODM/>")
    assert file_type(path) == ""
    path.write_text("PK\3\4")
    with pytest.raises(UnreadableFile):
        file_type(path)


BOMB = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(9))


@pytest.mark.parametrize(
    ("content", "place", "expected"),
    [
        (f'<!DOCTYPE O [<!ENTITY e0 "x">{BOMB}]><ODM a="&e9;">&e9;</ODM>', "", "without a document type"),
        ('<!DOCTYPE ODM SYSTEM "file:///etc/passwd"><ODM/>', "", "without a document type"),
        ("<ODM>&undeclared;</ODM>", "line 1", "well-formed"),
        ("<ODM>\n<ClinicalData>", "line 2", "well-formed"),
        ("<ODM>\n\n\0</ODM>", "line 3", "well-formed"),
        ("\0" * 5000, "line 1", "well-formed"),
        ("PK\3\4 not XML at all", "line 1", "well-formed"),
        ("id;value\n1;2\n", "line 1", "well-formed"),
        ("", "", "an ODM element"),
        ("<html/>", "", "an ODM element"),
        ("<!--" + "x" * (2 << 20) + "--><ODM/>", "", "an ODM element"),
        ('<?xml version="1.0" encoding="klingon"?><ODM/>', "line 1", "encoding"),
        ('<?xml version="1.0" encoding="utf-8"?><ODM>\udce8</ODM>', "line 1", "well-formed"),
        ("<ODM>" + "<a>" * 5000 + "</a>" * 5000 + "</ODM>", "line 1", "deep"),
        ('<ODM><a b="' + "x" * (13 << 20) + '"/></ODM>', "line 1", "tags of at most"),
        ("<ODM>" + "".join(f"<n{i}/>" for i in range(100_001)) + "</ODM>", "line 1", "names"),
        ("<ODM>" + group("IG", item("source_row")) + "</ODM>", "line 1", "an ItemOID"),
        ("<ODM>" + group("IG", item("A") + item("a")) + "</ODM>", "", "an ItemOID"),
        ("<ODM>" + group("IG", '<ItemData Value="1"/>') + "</ODM>", "line 1", "an ItemOID"),
        ("<ODM>" + group("IG", "".join(item(str(i)) for i in range(10_001))) + "</ODM>", "", "at most"),
        ("<ODM>" + group("IG", f"<ItemDataAny ItemOID='A'>{'x ' * (6 << 20)}</ItemDataAny>") + "</ODM>", "", "values"),
        ('<ODM><SubjectData TransactionType="Delete"/></ODM>', "line 1", "a TransactionType that is one of"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, content, place, expected):
    path = tmp_path / "o.xml"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    ((where, what),) = refusal(path)
    assert expected in what and where.startswith(place)


MEASURE = """
import resource, sys
from pathlib import Path
from pipelines.readers.read import batches
import pyarrow
spec = {"format": "odm", "item_group": "A", "scratch": Path(sys.argv[2])}
n = sum(len(table) for _, table in batches([("o.xml", Path(sys.argv[1]))], spec))
print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_file(tmp_path):
    def peak(n: int) -> int:
        path, scratch = tmp_path / f"{n}.xml", tmp_path / f"scratch{n}"
        one = group("A", "".join(item(f"I{i}", "v" * 40) for i in range(10)))
        with path.open("w") as file:
            file.write(HEAD.format("Snapshot") + "<ClinicalData>")
            for _ in range(n):
                file.write(f'<v:x/><SubjectData SubjectKey="1">{one}</SubjectData>')
            file.write("</ClinicalData></ODM>")
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(path), str(scratch)], capture_output=True, text=True, check=True
        )
        rows_read, kilobytes = map(int, done.stdout.split())
        assert rows_read == n
        return kilobytes

    assert peak(40_000) < peak(20_000) + 20_000


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no public samples here")
class TestSamples:
    @pytest.mark.parametrize(
        ("file", "n"), [("odmlib/odm-data-snapshot.xml", 60), ("odm2/Demographics_RACE_check_all_that_apply.xml", 24)]
    )
    def test_rows_of_all_item_groups(self, file, n):
        oids = sorted(set(re.findall('<ItemGroupData ItemGroupOID="([^"]+)"', (SAMPLES / file).read_text("utf-8"))))
        table = read([("o.xml", SAMPLES / file)], {"format": "odm", "item_group": oids})
        assert sorted(map(int, table["source_row"].to_pylist())) == list(range(1, n + 1))
        assert table["SubjectKey"].null_count == 0

    def test_a_malformed_file(self):
        """Its prefix `xs` is bound to nothing."""
        assert refusal(SAMPLES / "odmlib" / "test_odm_001.xml") == [("line 2", "well-formed XML")]
