"""Readers: bytes become all-text rows with the place of each record, or a refusal that names file and place."""

import json
from pathlib import Path

import pytest
import xlsxwriter

from pipelines.errors import MappingError, UnreadableFile
from pipelines.readers.read import read

REPORT = {"format": "csv", "encoding": "cp1252", "delimiter": ";", "header": {"find": ["Id", "Età"], "within": 5}}
COURSE = {
    "resourceType": "Procedure", "meta": {"profile": ["http://x/codexrt-course-summary"]}, "status": "completed",
    "subject": {"reference": "https://server/fhir/Patient/ck-1"},
    "identifier": [{"value": "C1"}, {"system": "urn:lesion", "value": "L1"}, {"use": "official", "value": "N1"}],
    "extension": [
        {"url": "http://x/dose-to-volume", "extension": [{"url": "total", "valueQuantity": {"value": 3750}}]},
        {"url": "http://x/dose-to-volume", "extension": [{"url": "total", "valueQuantity": {"value": 27.5}}]},
    ],
}  # fmt: skip
COLUMNS = {
    "patient": "subject.reference('Patient')",
    "lesion": "identifier('lesion').value",
    "course": "identifier[0].value",
    "number": "identifier[use=official].value",
    "dose": "extension('dose-to-volume').extension('total').valueQuantity.value",
    "end": "performedPeriod.end",
}


def rows(path: Path, **spec) -> list[dict[str, str | None]]:
    """The rows of one file, without the column that holds its name."""
    table = read([(path.name, path)], spec)
    assert {str(t) for t in table.schema.types} == {"string"}
    return [{k: v for k, v in row.items() if k != "source_file"} for row in table.to_pylist()]


def refusal(path: Path, **spec) -> list[tuple[str, str]]:
    """Place and expectation of every problem of one file."""
    with pytest.raises(UnreadableFile) as error:
        read([(path.name, path)], spec)
    assert {p.source_file for p in error.value.problems} == {path.name}
    return [(p.place, p.expected) for p in error.value.problems]


def write(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


def test_files_of_a_source_are_one_table_and_all_their_problems_are_told(tmp_path):
    one, two = write(tmp_path / "1.csv", "A,B\n1,2\n"), write(tmp_path / "2.csv", "A,C\n3,4\n")
    table = read([("x/1.csv", one), ("x/2.csv", two)], {"format": "csv"})
    assert table.to_pylist() == [
        {"source_file": "x/1.csv", "source_row": "2", "A": "1", "B": "2", "C": None},
        {"source_file": "x/2.csv", "source_row": "2", "A": "3", "B": None, "C": "4"},
    ]
    broken = [("a", write(tmp_path / "3.csv", "A,B\n1\nx,y\n")), ("b", write(tmp_path / "4.csv", "A,a\n"))]
    with pytest.raises(UnreadableFile) as error:
        read(broken, {"format": "csv"})
    assert [p.source_file for p in error.value.problems] == ["a", "b"]
    with pytest.raises(MappingError, match="sas"):
        read([], {"format": "sas"})


class TestCsv:
    def test_a_report_with_preamble_blank_lines_and_footer(self, tmp_path):
        text = 'Unità;\r\n\r\nId;Età;Nota\r\n007;61;"a\r\nb"\r\n\r\n1E5;;5"6\r\nTotale;2\r\n'
        assert rows(write(tmp_path / "r.csv", text, "cp1252"), **REPORT) == [
            {"source_row": "4", "Id": "007", "Età": "61", "Nota": "a\nb"},
            {"source_row": "7", "Id": "1E5", "Età": None, "Nota": '5"6'},
            {"source_row": "8", "Id": "Totale", "Età": "2", "Nota": None},
        ]

    @pytest.mark.parametrize(
        ("content", "place", "expected"),
        [
            (b"Id;Et\xe0;N\n1;2;3\n4;5", "line 3", "3 columns"),  # cut off: no line end
            (b"Id;Et\xe0;N\n1;2;3;4\n1;2;3\n", "line 2", "3 columns"),
            (b'Id;Et\xe0;N\n"x\ny";2;3\n"1"2;3;4\n1;2;3\n', "line 4", "quotes that pair"),
            (b"Id;Et\xe0;N\n1;\x81;3\n", "line 2", "text in cp1252"),
            (b"Id;Et\xe0;N\n1;\0;3\n", "line 2", "text without NUL bytes"),
            (b"Id,Et\xe0,N\n1,2,3\n", "lines 1-5", "a header with Et\xe0, Id"),
            (b"", "lines 1-5", "a header with Et\xe0, Id"),
            ("Id;Età;N;n\n".encode("cp1252"), "line 1", "each column once (N, n)"),
        ],
    )
    def test_what_is_refused(self, tmp_path, content, place, expected):
        path = tmp_path / "r.csv"
        path.write_bytes(content)
        assert refusal(path, **REPORT) == [(place, expected.encode("latin-1").decode("cp1252"))]

    def test_a_byte_order_mark_belongs_to_the_encoding(self, tmp_path):
        path = write(tmp_path / "r.csv", "id,id2,\n1,2,\n", "utf-8-sig")
        assert rows(path, format="csv", encoding="utf-8-sig") == [{"source_row": "2", "id": "1", "id2": "2"}]


class TestXlsx:
    @pytest.fixture
    def book(self, tmp_path) -> Path:
        path = tmp_path / "book"  # archived files have no ending
        with xlsxwriter.Workbook(str(path)) as workbook:
            day = workbook.add_format({"num_format": "dd/mm/yyyy"})
            sheet = workbook.add_worksheet("Lesioni")
            sheet.write_string(0, 0, "Misure")
            sheet.write_row(2, 0, ["Codice"])
            sheet.merge_range(2, 1, 2, 2, "Basale")
            sheet.merge_range(2, 3, 2, 4, "Rivalutazione 1")
            sheet.write_row(3, 1, ["Data", "mm", "Data", "mm"])
            sheet.write_row(4, 0, ["PZ-1"])
            sheet.write_number(4, 1, 41000, day)
            sheet.write_row(4, 2, [34.1, "28/02/14", 28.0])
            sheet.write_row(6, 0, ["Totale", True])
            workbook.add_worksheet("vecchio").hide()
        return path

    def test_two_header_rows_dates_numbers_and_places(self, book):
        header = {"find": ["Codice", "mm"], "within": 9, "rows": 2, "join": "|"}
        found = rows(book, format="xlsx", sheet="Lesioni", header=header)
        assert found == [
            {"source_row": "Lesioni!5", "Codice": "PZ-1", "Basale|Data": "2012-04-01", "Basale|mm": "34.1",
             "Rivalutazione 1|Data": "28/02/14", "Rivalutazione 1|mm": "28"},
            {"source_row": "Lesioni!7", "Codice": "Totale", "Basale|Data": "TRUE", "Basale|mm": None,
             "Rivalutazione 1|Data": None, "Rivalutazione 1|mm": None},
        ]  # fmt: skip

    def test_what_is_refused(self, book, tmp_path):
        assert refusal(book, format="xlsx", sheet="Pazienti") == [("", "a sheet named Pazienti")]
        header = {"find": ["Id"], "within": 3}
        place = ("Lesioni, rows 1 to 3", "a header with columns Id")
        assert refusal(book, format="xlsx", sheet="Lesioni", header=header) == [place]
        cut = tmp_path / "cut.xlsx"
        cut.write_bytes(book.read_bytes()[:2000])
        assert refusal(cut, format="xlsx", sheet="A") == [("", "a workbook that is complete")]

    def test_a_cell_far_away_does_not_end_the_process(self, tmp_path):
        path = tmp_path / "far.xlsx"
        with xlsxwriter.Workbook(str(path)) as workbook:
            sheet = workbook.add_worksheet("A")
            sheet.write(0, 0, "Id")
            sheet.write(1048575, 16383, 1)
        expected = "sheets without cells far away from the others"
        assert refusal(path, format="xlsx", sheet="A") == [("", expected)]


class TestOdm:
    vendor = 'xmlns:OpenClinica="http://www.openclinica.org/ns/odm_ext_v130/v3.1"'

    def odm(self, path: Path, body: str) -> Path:
        return write(path, f'<ODM xmlns="http://www.cdisc.org/ns/odm/v1.3" {self.vendor}>{body}</ODM>')

    def test_item_groups_with_their_keys(self, tmp_path):
        body = """<Study OID="S"><MetaDataVersion OID="1"><ItemGroupDef OID="IG_B"><ItemRef ItemOID="I_1"/>
            <ItemRef ItemOID="I_2"/></ItemGroupDef></MetaDataVersion></Study><ClinicalData>
            <SubjectData SubjectKey="SS_1" OpenClinica:StudySubjectID="ME/1"><StudyEventData StudyEventOID="SE">
            <FormData FormOID="F"><ItemGroupData ItemGroupOID="IG_A"/><ItemGroupData ItemGroupOID="IG_B"
            TransactionType="Update"><ItemData ItemOID="I_1" Value="2014-03"/></ItemGroupData></FormData>
            </StudyEventData></SubjectData><SubjectData SubjectKey="SS_2" TransactionType="Remove"><StudyEventData
            StudyEventOID="SE"><ItemGroupData ItemGroupOID="IG_B"><ItemData ItemOID="I_1"><Value>x &amp; y</Value>
            </ItemData></ItemGroupData></StudyEventData></SubjectData></ClinicalData>"""
        path = self.odm(tmp_path / "o.xml", body)
        blank = {"StudyEventRepeatKey": None, "ItemGroupRepeatKey": None, "ItemGroupOID": "IG_B", "StudyEventOID": "SE"}
        assert rows(path, format="odm", item_group="IG_B") == [
            {"source_row": "2", "SubjectKey": "SS_1", "StudySubjectID": "ME/1", "FormOID": "F",
             "TransactionType": "Update", "I_1": "2014-03", "I_2": None, **blank},
            {"source_row": "SubjectData!2", "SubjectKey": "SS_2", "StudySubjectID": None, "FormOID": None,
             "TransactionType": "Remove", "I_1": None, "I_2": None, **dict.fromkeys(blank)},
            {"source_row": "3", "SubjectKey": "SS_2", "StudySubjectID": None, "FormOID": None,
             "TransactionType": "Remove", "I_1": "x & y", "I_2": None, **blank},
        ]  # fmt: skip
        assert [r["source_row"] for r in rows(path, format="odm", item_group=["IG_A", "IG_B"])] == [
            "1", "2", "SubjectData!2", "3",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("text", "place", "expected"),
        [
            ('<!DOCTYPE O [<!ENTITY a "b">]><ODM>&a;</ODM>', "", "XML without a document type (DOCTYPE)"),
            ("<ODM><ClinicalData>\n", "line 2", "well-formed XML"),
            ("<html/>", "", "an ODM element at the top"),
        ],
    )
    def test_what_is_refused(self, tmp_path, text, place, expected):
        assert refusal(write(tmp_path / "o.xml", text), format="odm", item_group="IG") == [(place, expected)]


class TestFhir:
    def test_paths_profiles_and_lines(self, tmp_path):
        other = {"resourceType": "Procedure", "meta": {"profile": ["http://x/phase"]}}
        lines = [json.dumps({"resourceType": "Patient"}), "", json.dumps(COURSE), json.dumps(other)]
        path = write(tmp_path / "p.ndjson", "\n".join(lines) + "\n")
        spec = {"format": "fhir", "resource": "Procedure", "profile": "course-summary"}
        head = {"source_row": "3", "patient": "ck-1", "lesion": "L1", "course": "C1", "number": "N1"}
        # two volumes that state different doses: both, which no field takes for a number
        assert rows(path, **spec, columns=COLUMNS) == [{**head, "dose": "3750 | 27.5", "end": None}]
        each = {"course": "identifier[0].value", "dose": ".extension('total').valueQuantity.value"}
        volumes = rows(path, **spec, columns=each, each="extension('dose-to-volume')")
        assert [(v["source_row"], v["course"], v["dose"]) for v in volumes] == [
            ("3", "C1", "3750"),
            ("3", "C1", "27.5"),
        ]

    def test_entries_are_told_by_what_they_say_and_not_by_their_place(self, tmp_path):
        entries = [
            {"use": "old", "value": "A"},
            {"use": "it's", "value": "B"},
            {"value": "C"},
            {"use": "old", "value": "D"},
        ]
        resources = [
            {"resourceType": "Patient", "identifier": each} for each in (entries[:3], entries[2::-1], entries, [])
        ]
        path = write(tmp_path / "p.ndjson", "".join(json.dumps(r) + "\n" for r in resources))
        columns = {"old": "identifier[use=old].value", "own": "identifier[use=it's].value"}
        found = rows(path, format="fhir", resource="Patient", columns=columns)
        assert [(r["old"], r["own"]) for r in found] == [("A", "B"), ("A", "B"), ("A | D", "B"), (None, None)]
        each = rows(path, format="fhir", resource="Patient", columns={"value": ".value"}, each="identifier[use=old]")
        assert [(r["source_row"], r["value"]) for r in each] == [("1", "A"), ("2", "A"), ("3", "A"), ("3", "D")]

    def test_what_is_refused(self, tmp_path):
        path = write(tmp_path / "p.ndjson", '{"resourceType": "Patient"}\n\n{"resourceType":\n[1]\n')
        spec = {"format": "fhir", "resource": "Patient", "columns": {"id": "id"}}
        assert refusal(path, **spec) == [("line 3", "one JSON object"), ("line 4", "one JSON object")]
        with pytest.raises(MappingError, match=r"'a\.\.b' is no path"):
            rows(write(path, "{}\n"), **{**spec, "columns": {"id": "a..b"}})


class TestDicom:
    @pytest.fixture
    def plan(self, tmp_path) -> Path:
        """A plan with one treatment beam, one setup beam and two doses to targets, as explicit little endian."""
        from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian

        def item(**attributes) -> Dataset:
            made = Dataset()
            for name, value in attributes.items():
                setattr(made, name, value)
            return made

        path = tmp_path / "RP.1.dcm"
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.5", "1.2.3"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
        data.Modality, data.PatientName, data.PatientID, data.ApprovalStatus = (
            "RTPLAN",
            "Rossi^Mario",
            "R3-1",
            "APPROVED",
        )
        data.DoseReferenceSequence = [
            item(DoseReferenceType="TARGET", TargetPrescriptionDose="30.00"),
            item(DoseReferenceType="ORGAN_AT_RISK"),
            item(DoseReferenceType="TARGET", TargetPrescriptionDose="24"),
        ]
        beams = [item(ReferencedBeamNumber=1, BeamDose="3.00", BeamMeterset="250.5"), item(ReferencedBeamNumber=2)]
        data.FractionGroupSequence = [item(NumberOfFractionsPlanned=10, ReferencedBeamSequence=beams)]
        data.BeamSequence = [
            item(BeamNumber=1, TreatmentDeliveryType="TREATMENT"),
            item(BeamNumber=2, TreatmentDeliveryType="SETUP"),
        ]
        data.save_as(path, enforce_file_format=True)
        return path

    def test_a_row_per_beam_with_digits_as_sent_and_no_name(self, plan):
        first, second = rows(plan, format="dicom", modality="RTPLAN")
        assert "Rossi" not in "".join(filter(None, first.values()))
        assert (first["source_row"], first["PatientID"], first["TargetPrescriptionDose"]) == ("1", "R3-1", "30.00\\24")
        assert (first["BeamDose"], first["BeamMeterset"], first["NumberOfFractionsPlanned"]) == ("3.00", "250.5", "10")
        assert (second["TreatmentDeliveryType"], second["BeamDose"]) == ("SETUP", None)
        assert rows(plan, format="dicom", modality="RTRECORD") == []

    def test_a_file_without_preamble_is_read(self, plan):
        whole = rows(plan, format="dicom", modality="RTPLAN")
        plan.write_bytes(plan.read_bytes()[132:])
        assert rows(plan, format="dicom", modality="RTPLAN") == whole

    def test_a_file_cut_off_anywhere_is_refused(self, plan):
        data = plan.read_bytes()
        for length in range(1, len(data), 7):
            plan.write_bytes(data[:length])
            assert refusal(plan, format="dicom", modality="RTPLAN"), length

    def test_what_is_no_dicom_is_refused(self, tmp_path):
        path = write(tmp_path / "x.dcm", "<html>not found</html>")
        assert refusal(path, format="dicom", modality="RTPLAN") == [("", "a DICOM file")]
