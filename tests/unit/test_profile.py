"""Profiling a sample export: what is guessed, what is asked, and that nothing of a patient is written."""

import csv
import io
import json
import re
from datetime import date, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines import centres, study
from pipelines.cli.main import app
from pipelines.errors import UsageError
from pipelines.mapping import Centre
from pipelines.profile.look import look
from pipelines.profile.names import likeness, tokens, unit_of
from pipelines.profile.new import new
from pipelines.profile.vocabulary import learn

HEADER = [
    "Codice", "Cognome paziente", "CF", "Telefono", "Codice studio", "Sesso", "Anno di nascita", "Medico", "Esame",
    "Data", "Valore", "Unità", "Commento", "Reparto", "Contatto", "Numero tessera",
]  # fmt: skip


@pytest.fixture(scope="module")
def others() -> dict[str, Centre]:
    return centres.load_all(study.ROOT / "centres")


def rows() -> list[list[str]]:
    """Invented patients whose every value but the codes is a canary: it must appear in nothing that is written."""
    day = date(1997, 3, 2)
    return [
        [
            f"ZQ{70411 + i * 13}", f"Canarini Wilma{i}", f"CNRWLM{60 + i}A41F205{'XYZKWT'[i]}", f"+39 347 55512{i}7",
            f"RCC-ME9-{801 + i}-K", "MF"[i % 2], str(1899 + i * 7), ("Dr Uccelli", "Dr Uccelli", "Dr Passeri")[i % 3],
            ("ALT", "ALT", "TSH", "ALT", "Rarissimo", "ALT")[i], (day + timedelta(days=i * 400)).strftime("%d/%m/%Y"),
            f"98{i}1,37", "U/L", f"nota privata {i}", ("Nido Sud", "Nido Nord")[i % 2],
            "wilma.canarini@example.org" if i == 3 else "sì", f"TESS-{i}9-QX",
        ]
        for i in range(6)
    ]  # fmt: skip


SHOWN = {"M", "F", "ALT", "TSH", "U/L", "sì", ""}  # codes that other centres have, a unit, a flag


def write_csv(path: Path, encoding: str = "cp1252", delimiter: str = ";") -> None:
    text = io.StringIO()
    text.write("Elenco INVENTATO Usignoli\n\n")
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows([HEADER, *rows()])
    text.write("Totale 6 Usignoli\r\n")
    path.write_bytes(text.getvalue().encode(encoding))


def write_xlsx(path: Path) -> None:
    import xlsxwriter

    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("Esami")
        for i, row in enumerate([["Elenco INVENTATO Usignoli"], HEADER, *rows(), ["Totale 6 Usignoli"]]):
            sheet.write_row(i, 0, row)


def everything(folder: Path) -> str:
    """All that was written, workbooks cell by cell, and the names of the files."""
    found = []
    for path in sorted(folder.rglob("*")):
        found.append(path.name)
        if path.suffix == ".xlsx":
            (seen,), _ = look(path)
            found += [str(v) for row in seen.rows.to_pylist() for v in row.values()] + list(seen.names)
        elif path.is_file():
            data = path.read_bytes()
            found.append(data.decode("utf-8") if path.suffix != ".csv" else data.decode("cp1252", "replace"))
    return "\n".join(found)


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_no_value_of_the_export_is_written(tmp_path: Path, others: dict[str, Centre], kind: str) -> None:
    source = tmp_path / f"esami_70411.{kind}"
    (write_csv if kind == "csv" else write_xlsx)(source)
    new("on7", [source], tmp_path / "centres", others)
    text = everything(tmp_path / "centres" / "on7")
    canaries = {v for row in rows() for v in row} - SHOWN | {"Usignoli", "INVENTATO", "70411", "Canarini", "Uccelli"}
    assert [c for c in canaries if c in text] == []
    assert "ALT" in text


@pytest.mark.parametrize(
    ("form", "declared"),
    [
        ("{:%d.%m.%y}", "%d.%m.%y"),
        ("{:%d-%m-%y}", "%d-%m-%y"),
        ("{:%d-%b-%y}", "%d-%b-%y"),
        ("{:%d/%m/%y %H:%M}", "%d/%m/%y %H:%M"),
        ("{:%Y.%m.%d}", None),
        ("{:%d. März %Y}", None),
    ],
)
def test_no_date_passes_for_a_code(tmp_path: Path, others: dict[str, Centre], form: str, declared: str | None) -> None:
    """However it is written, and however many patients share it."""
    days = [form.format(date(1997, 3, 2) + timedelta(days=i % 2 * 40)) for i in range(8)]
    lines = ["Codice;Grad;Ende;ECOG", *(f"P{i};{i % 3 + 1};{day};1" for i, day in enumerate(days))]
    (tmp_path / "esami.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    new("on7", [tmp_path / "esami.csv"], tmp_path / "centres", others)
    text = everything(tmp_path / "centres" / "on7")
    assert [day for day in days if day in text] == []
    assert (declared or "it has no dates") in text


def test_small_numbers_alone_are_no_codes_that_are_known(tmp_path: Path, others: dict[str, Centre]) -> None:
    lines = ["Codice;Grad;ECOG;Sesso", *(f"P{i};{i % 3 + 1};1;M" for i in range(9))]
    (tmp_path / "ae.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    new("on7", [tmp_path / "ae.csv"], tmp_path / "centres", others)
    assert "from: Grad" not in (tmp_path / "centres" / "on7" / "centre.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "why"), [("esami_7.csv", "numbers in it change"), ("esami.csv", "it stays the same")])
def test_what_is_taken_for_the_name_of_a_file_is_said(
    tmp_path: Path, others: dict[str, Centre], name: str, why: str
) -> None:
    (tmp_path / name).write_text("Codice;Sesso\nP1;M\nP2;F\n")
    new("on7", [tmp_path / name], tmp_path / "centres", others)
    assert f"# guess: {why}" in (tmp_path / "centres" / "on7" / "centre.yaml").read_text(encoding="utf-8")


def test_persons_are_ignored_and_named(tmp_path: Path, others: dict[str, Centre]) -> None:
    write_csv(tmp_path / "esami.csv")
    new("on7", [tmp_path / "esami.csv"], tmp_path / "centres", others)
    made = centres.load(tmp_path / "centres" / "on7")
    (source,) = made.sources.values()
    assert set(source.ignore) == {"Cognome paziente", "CF", "Telefono", "Medico", "Contatto"}
    questions = (tmp_path / "centres" / "on7" / "questions.md").read_text()
    assert all(f"'{name}'" in questions for name in source.ignore)
    assert "'Reparto' (code, 6 filled cells, 2 different values)" in questions


@pytest.mark.parametrize(
    ("encoding", "delimiter"), [("cp1252", ";"), ("utf-8", "\t"), ("utf-8-sig", ","), ("utf-16", "|")]
)
def test_how_a_text_is_read(tmp_path: Path, others: dict[str, Centre], encoding: str, delimiter: str) -> None:
    write_csv(tmp_path / "esami.csv", encoding, delimiter)
    new("on7", [tmp_path / "esami.csv"], tmp_path / "centres", others)
    made = centres.load(tmp_path / "centres" / "on7")
    (source,) = made.sources.values()
    assert source.read == {
        "format": "csv", "encoding": encoding, "delimiter": delimiter,
        "header": {"find": ["Codice", "Cognome paziente"], "within": 7},
    }  # fmt: skip
    assert source.stop_at == {"Codice": {"matches": "^Totale"}}
    assert (made.kind, made.language, made.decimal, made.formats) == ("oncology", "it", ",", ("%d/%m/%Y",))
    assert {t: {f.name: f.columns[0] for f in parts[0].fields} for t, parts in made.tables.items()} == {
        "labs": {
            "local_id": "Codice", "lbtestcd": "Esame", "lbdt": "Data", "lbstresn": "Valore", "lbstresu": "Unità",
        },
        "links": {
            "local_id": "Codice", "usubjid": "Codice studio", "sex": "Sesso", "birth_year": "Anno di nascita",
        },
    }  # fmt: skip


def test_the_invented_sample_goes_through_its_own_mapping(tmp_path: Path, others: dict[str, Centre]) -> None:
    """What is open are the questions and the columns that nobody has mapped; every invented value is read."""
    write_csv(tmp_path / "esami.csv")
    new("on7", [tmp_path / "esami.csv"], tmp_path / "centres", others)
    run = CliRunner().invoke(app, ["centre", "check", "on7", "--into", str(tmp_path / "centres"), "--json"])
    assert run.exit_code == 1, run.output
    found = json.loads(run.output)
    assert found["rejected"] == found["findings"] == found["codes"] == []
    assert {c for _, c, _ in found["columns"]} == {"Commento", "Reparto", "Numero tessera"}
    assert found["tables"]["labs"][0] > 0


def test_units_are_read_from_names() -> None:
    assert [unit_of(n) for n in ("Dose (cGy)", "DoseGy", "dose_cgy", "Diametro mm", "Somma (cm)", "Commento")] == [
        "cGy", "Gy", "cGy", "mm", "cm", "",
    ]  # fmt: skip
    assert tokens("PatientId") == tokens("ID_patient") == {"patient", "id"}
    assert likeness("Età", ["eta"]) == 1
    assert likeness("Reparto", ["Sesso"]) == 0


def test_two_readings_of_a_date_and_a_unit_are_asked_for(tmp_path: Path, others: dict[str, Centre]) -> None:
    lines = ["PatientId,StudyCode,SessionDate,Plan,Fx,Dose"]
    lines += [f"{i}A,RCC-ME1-00{i}-K,0{i + 1}/0{i + 2}/2015,P{i},1,700" for i in range(5)]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    new("rt8", [tmp_path / "log.csv"], tmp_path / "centres", others, kind="radiotherapy")
    questions = (tmp_path / "centres" / "rt8" / "questions.md").read_text()
    assert "day first or month first?" in questions
    assert "is it in Gy or cGy?" in questions


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"x\0\1\2" * 40, "NUL"),
        ("a.csv", b"one column\nonly\n", "no delimiter"),
        ("a.csv", b"ID;Dose;Date;Dose\n1;2;2014-01-01;3\n", "columns 2, 4 have one name"),
        ("a.csv", b"ROSSI;1;2014-01-01\nBIANCHI;2;2014-01-02\n", "no line holds the names"),
        ("a.xlsx", b"PK\x03\x04 not a workbook", "workbook"),
        ("a.xml", b"<?xml version='1.0'?><ODM/>", "without clinical data"),
        ("a.xml", b"<?xml version='1.0'?><!DOCTYPE ODM [<!ENTITY a 'ROSSI'>]><ODM>&a;</ODM>", "DOCTYPE"),
        ("a.xml", b"<html><body>ROSSI</body></html>", "an ODM element"),
        ("a.json", b'{"resourceType": "Bundle", "entry": [{"resource": {"id": "ROSSI"}}]}', "a bundle"),
        ("a.json", b'{\n"resourceType": "Patient",\n"id": "ROSSI"}\n', "over several lines"),
        ("a.ndjson", b'{"resourceType": ROSSI}\n', "line 1: expected one JSON object"),
        ("a.dcm", b"\0" * 128 + b"DICM" + b"\0" * 60, "a.dcm"),
        ("a.csv", b"a;b\n1;\x8d\n", "neither in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(
    tmp_path: Path, others: dict[str, Centre], name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=told) as error:
        new("on7", [tmp_path / name], tmp_path / "centres", others)
    assert error.value.exit_code == 2
    assert "ROSSI" not in str(error.value)
    assert not (tmp_path / "centres").exists()


NO_HEADER = {
    "a number": "Kilo;Bianco;41\nEcho;Nero;42\n",
    "a date": "Kilo;Bianco;3-Mar-2014\nEcho;Nero;n.v.\n",
    "a measure": "Kilo;Bianco;28,5 mm\nEcho;Nero;piccola\n",
    "an id like those below": "P001-A;Bianco;x\nP002-B;Nero;y\n",
    "a value that recurs": "Kilo;Bianco;F\nEcho;Nero;M\nTango;Blu;f\n",
    "a fiscal code": "Kilo;CNRWLM60A41F205X;x\nEcho;Nero;y\n",
    "the last row without a number": "Kilo;Bianco;41\nEcho;Nero;n.v.\nTango;Blu;5\n",
    "rows twice": "Kilo;Bianco;F\nKilo;Bianco;F\nTango;Blu;F\n",
}


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize("rows", NO_HEADER.values(), ids=NO_HEADER)
def test_a_table_without_a_header_is_refused(tmp_path: Path, others: dict[str, Centre], kind: str, rows: str) -> None:
    """Its first row was once taken for names, and stood in centre.yaml."""
    import xlsxwriter

    path = tmp_path / f"a.{kind}"
    path.write_text(rows)
    if kind == "xlsx":
        with xlsxwriter.Workbook(str(path)) as book:
            sheet = book.add_worksheet("Foglio")
            for i, line in enumerate(rows.splitlines()):
                sheet.write_row(i, 0, line.split(";"))
    with pytest.raises(UsageError, match="names of its columns") as error:
        new("on7", [path], tmp_path / "centres", others)
    assert not [v for v in re.split("[;\n]", rows) if len(v) > 3 and v in str(error.value)]
    assert not (tmp_path / "centres").exists()


def test_a_header_that_every_page_repeats_is_one(tmp_path: Path, others: dict[str, Centre]) -> None:
    (tmp_path / "a.csv").write_text("Codice;Sesso\nP1;M\nCodice;Sesso\nP2;F\n")
    new("on7", [tmp_path / "a.csv"], tmp_path / "centres", others)
    assert centres.load(tmp_path / "centres" / "on7").sources["a"].read["delimiter"] == ";"


def test_names_of_files_and_columns_are_asked_for(tmp_path: Path, others: dict[str, Centre]) -> None:
    (tmp_path / "Canarini.csv").write_text("Codice;Sesso\nP1;M\nP2;F\n")
    new("on7", [tmp_path / "Canarini.csv"], tmp_path / "centres", others)
    asked = (tmp_path / "centres" / "on7" / "questions.md").read_text()
    assert "\n1. Names of files, sheets and columns are written as they stand" in asked


@pytest.mark.parametrize("name", ["On7", "7on", "on-7", "../on7", ""])
def test_a_name_that_is_no_good_is_refused(tmp_path: Path, others: dict[str, Centre], name: str) -> None:
    with pytest.raises(UsageError, match="lower-case"):
        new(name, [tmp_path], tmp_path, others)


def test_a_centre_that_exists_is_not_touched(tmp_path: Path, others: dict[str, Centre]) -> None:
    (tmp_path / "on7").mkdir()
    with pytest.raises(UsageError, match="exists"):
        new("on7", [tmp_path], tmp_path, others)
    assert list((tmp_path / "on7").iterdir()) == []


def test_equal_exports_give_equal_folders(tmp_path: Path, others: dict[str, Centre]) -> None:
    write_xlsx(tmp_path / "esami.xlsx")
    for into in ("a", "b"):
        new("on7", [tmp_path / "esami.xlsx"], tmp_path / into, others)
    a, b = (
        {p.relative_to(tmp_path / into): p.read_bytes() for p in (tmp_path / into).rglob("*") if p.is_file()}
        for into in ("a", "b")
    )
    assert a == b


def test_a_total_of_two_cells_is_no_header(tmp_path: Path, others: dict[str, Centre]) -> None:
    """A sheet with two rows of names, none of them twice, was once read from its total on, whose text is a value."""
    import xlsxwriter

    with xlsxwriter.Workbook(str(tmp_path / "a.xlsx")) as book:
        sheet = book.add_worksheet("Lesioni")
        for i, row in enumerate([["Codice", "", "Basale", "", "Visita", ""], ["", "", "Data", "mm", "Giorno", "cm"],
                                 ["P1", "x", "2014-01-01", 3, "2014-02-02", 4], ["Totale", "41 lesioni"]]):  # fmt: skip
            sheet.write_row(i, 0, row)
        book.add_worksheet("Anagrafica").write_row(0, 0, ["Codice", "Sesso"])
        book.get_worksheet_by_name("Anagrafica").write_row(1, 0, ["P1", "M"])
    new("on7", [tmp_path / "a.xlsx"], tmp_path / "centres", others)
    text = everything(tmp_path / "centres" / "on7")
    assert "41 lesioni" not in text
    assert "sheet 'Lesioni' has no row of column names of its own" in text


SAMPLE = """Chart,Code,Sex,Born
A1,RCC-ME1-001-K,female,1950
A2,RCC-ME1-002-K,male,1951
"""
MAPPING = """centre: on8
title: Invented
kind: oncology
language: en
sources:
  log: {files: log.csv, read: {format: csv, encoding: utf-8, delimiter: ","}, key: [Chart]}
tables:
  links:
    - source: log
      fields:
        local_id: {from: Chart}
        usubjid: {from: Code}
        sex: {from: Sex, map: {female: F, male: M}}
        birth_year: {from: Born}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "on8"
    (made / "sample").mkdir(parents=True)
    (made / "centre.yaml").write_text(MAPPING)
    (made / "sample" / "log.csv").write_text(SAMPLE)
    return made


def check(folder: Path, *options: str) -> tuple[int, str]:
    run = CliRunner().invoke(app, ["centre", "check", folder.name, "--into", str(folder.parent), *options])
    return run.exit_code, run.output


def test_expected_tables_are_written_and_compared(folder: Path) -> None:
    assert check(folder, "--write-expected") == check(folder)
    assert (folder / "expected" / "links.csv").read_text() == (
        "local_id,usubjid,sex,birth_year\nA1,RCC-ME1-001-K,F,1950\nA2,RCC-ME1-002-K,M,1951\n"
    )
    assert sorted(p.name for p in (folder / "expected").iterdir()) == ["links.csv"]


@pytest.mark.parametrize(
    ("old", "new_text", "told"),
    [
        ("A1,RCC-ME1-001-K,female,1950", "A1,RCC-ME1-001-K,female,1940", "row 2: birth_year differs"),
        ("A2,RCC-ME1-002-K,male,1951\n", "", "row 3: not staged"),
        ("A2,", "A3,x,male,1\nA2,", "1 rows are staged that expected/links.csv does not hold"),
        ("male,1951", "uomo,1951", "links: Sex: code 'uomo' is not mapped (1 rows)"),
        ("1951", "1951?", "links: Born: structure/unreadable_number (1 rows): Every number can be read"),
        ("Born", "Year", "log: column 'Year' is not mapped (2 filled cells)"),
        ("Chart,", "Card,", "the delivery is rejected"),
    ],
)
def test_what_differs_is_an_open_end(folder: Path, old: str, new_text: str, told: str) -> None:
    assert check(folder, "--write-expected")[0] == 0
    (folder / "sample" / "log.csv").write_text(SAMPLE.replace(old, new_text))
    code, output = check(folder)
    assert code == 1
    assert told in output
    assert "1951?" not in output


def test_a_question_is_open_until_its_comment_goes(folder: Path) -> None:
    (folder / "centre.yaml").write_text(MAPPING + "        # question 12: which?\n")
    assert check(folder) == (1, check(folder)[1])
    assert "question 12 in centre.yaml is open" in check(folder)[1]


def test_the_sample_is_invented_again_by_the_words_of_the_finished_mapping(tmp_path: Path) -> None:
    """Headers in a language that no centre has: codes are known only when somebody has said what they mean."""
    export, into = tmp_path / "log.csv", tmp_path / "centres"
    lines = [f"CH{i}731,RCC-ME1-00{i}-K,{'hf'[i % 2]},19{50 + i}" for i in range(1, 9)]
    export.write_text("Dossier,Code d'étude,S,Née\n" + "\n".join(lines) + "\n", encoding="utf-8")

    def restage(command: str, *arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["centre", command, "on7", "--into", str(into), *arguments])
        return done.exit_code, f"{done.output}{done.exception}"

    assert "no such centre" in restage("sample", "--from", str(export))[1]
    assert restage("new", "--from", str(export), "--kind", "oncology")[0] == 0
    assert "questions first" in restage("sample", "--from", str(export))[1]
    (into / "on7" / "centre.yaml").write_text(
        """\
centre: on7
title: Invented
kind: oncology
language: en
contact: data manager
cadence_days: 90
formats: ["%Y-%m-%d"]
sources:
  log: {files: log.csv, read: {format: csv}, key: [Dossier]}
tables:
  links:
    - source: log
      fields:
        local_id: {from: Dossier}
        usubjid: {from: "Code d'étude"}
        sex: {from: S, map: {h: M, f: F}}
        birth_year: {from: Née}
""",
        encoding="utf-8",
    )
    assert "is not mapped" in restage("check")[1]
    assert restage("sample", "--from", str(export))[0] == 0
    assert restage("check", "--write-expected")[0] == 0
    made = everything(into / "on7" / "sample")
    assert not [cell for line in lines for cell in line.split(",") if len(cell) > 4 and cell in made]


def test_findings_that_are_expected_are_no_open_end(folder: Path) -> None:
    (folder / "sample" / "log.csv").write_text(SAMPLE.replace("1951", "19x51"))
    assert check(folder)[0] == 1
    assert check(folder, "--write-expected")[0] == 0
    code, output = check(folder)
    assert code == 0
    assert "1 rows are asked about, as expected/findings.csv says" in output
    assert "19x51" not in output


def test_wrong_usage_of_check(folder: Path) -> None:
    for options in (["--files", str(folder / "none")], ["--files", str(folder / "sample"), "--write-expected"]):
        run = CliRunner().invoke(app, ["centre", "check", "on8", "--into", str(folder.parent), *options])
        assert isinstance(run.exception, UsageError)
    run = CliRunner().invoke(app, ["centre", "check", "on9", "--into", str(folder.parent)])
    assert isinstance(run.exception, UsageError)
    assert re.search("no centre.yaml here", str(run.exception))


def test_a_draft_with_open_questions_teaches_nothing(folder: Path) -> None:
    mapping = folder / "centre.yaml"
    assert learn([centres.load(folder)]) != learn([])
    mapping.write_text(mapping.read_text(encoding="utf-8") + "# question 1\n", encoding="utf-8")
    assert learn([centres.load(folder)]) == learn([])
