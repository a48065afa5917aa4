"""What DICOM out of a planning and a record system does to its reader; a few small invented files per quirk."""

import zipfile
from contextlib import closing
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from delivered import deliver, rows
from dicom_files import image, plan, record, written

from pipelines import study, warehouse
from pipelines.errors import DeliveryRejected
from pipelines.queries import ask
from pipelines.queries import asked as listed
from pipelines.rules.load import load_rules
from pipelines.rules.run import run_rules
from pipelines.warehouse import Home

TABLES = {
    "targets.tsv": "patient\tplan\ttarget\tsite\ttechnique\tlesion\nR3-1\tC1\tT1\tbone\trobotic\tL1\n",
    "restagings.tsv": "patient\ttarget\tdate\trestaging\tresponse\tfinding\tmethod\trecurrence\tisodose_pct\n"
    "R3-1\tT1\t2015-04-01\tyes\tpartial\tsmaller\tCT\tunknown\t\n",
    "toxicity.tsv": "patient\tterm\tgrade\tonset\tresolved\tcause\toutcome\n"
    "R3-1\tNausea\t1\t2015-01-20\t\tdrug\trecovered\n",
    "crosswalk.tsv": "patient\tstudy_code\tsex\tbirth_year\nR3-1\tRCC-ME2-001-X\tM\t1953\n",
}
WHOLE = ((1, "TREATMENT", "150", "NORMAL"), (2, "TREATMENT", "150", "NORMAL"))
SESSION = record("2.1", 1, *WHOLE)


def staged(tmp_path: Path, *files: Any) -> Path:
    """Take in DICOM data sets (or bytes) and the small tables."""
    made = {f"{n}.dcm": f if isinstance(f, bytes) else written(f) for n, f in enumerate(files)}
    return deliver(Home(tmp_path / "home"), "rt3", made | {name: text.encode() for name, text in TABLES.items()})


def fractions(folder: Path) -> list[tuple[Any, ...]]:
    return rows(folder / "fractions.parquet", "fraction_no, fxdt::varchar, dose_gy, fraction_status")


def planned(folder: Path) -> list[tuple[Any, ...]]:
    return rows(folder / "courses.parquet", "course_id, planned_dose_gy, planned_fractions, technique")


def findings(folder: Path) -> list[tuple[Any, ...]]:
    return rows(folder / "findings.parquet", "distinct rule_id, source_file, source_row, field, value_received")


def asked(tmp_path: Path, folder: Path, language: str) -> dict[str, Any]:
    """The one query of a delivery, as its list says it."""
    rules = [rule for rule in load_rules() if rule.raised_by]
    columns = ", ".join(f"{c.name} {c.sql_type}" for c in study.tables()["validated.findings"].columns)
    with closing(warehouse.memory()) as con:
        con.execute("create schema staged; create schema validated; create schema study")
        con.execute("create table study.protocol as select 1 as version")
        for name in ("findings", "received"):
            con.execute(f"create table staged.{name} as from '{folder / f'{name}.parquet'}'")
        run_rules(con, rules, {"rt3": language})
        con.execute(f"create table validated.findings ({columns})")
        con.execute("""
            insert into validated.findings by name
            select * exclude (outcome, delivery_id), 'Q1' as query_id, 'new' as state from validated.rule_failures
        """)
        ask(con, Home(tmp_path / "home"), "rt3")
        (query,) = listed(con)
    return query


def test_dose_is_beam_dose_by_the_meterset_that_was_delivered(tmp_path: Path) -> None:
    beams = ((1, "TREATMENT", "150", "NORMAL"), (2, "TREATMENT", "75.5", "OPERATOR"))
    folder = staged(tmp_path, plan(), SESSION, record("2.2", 2, *beams, day="20150113"))
    assert fractions(folder) == [
        (1, "2015-01-12", Decimal(3), "complete"),
        (2, "2015-01-13", Decimal("2.255"), "stopped"),
    ]
    assert planned(folder) == [("C1", Decimal(30), 10, "robotic_srt")]
    assert findings(folder) == []


@pytest.mark.parametrize("kind", ["SETUP", "VERIFICATION", "OPEN_PORTFILM", "TRMT_PORTFILM"])
def test_beams_that_do_not_treat_give_no_dose(tmp_path: Path, kind: str) -> None:
    folder = staged(tmp_path, plan(), record("2.1", 1, *WHOLE, (3, kind, "5", "NORMAL")))
    assert fractions(folder) == [(1, "2015-01-12", Decimal(3), "complete")]
    assert findings(folder) == []


@pytest.mark.parametrize("doses", [("30", "30"), ("30", "30.00"), (" 30", "3.0E1")])
def test_one_dose_to_several_targets_is_the_dose(tmp_path: Path, doses: tuple[str, ...]) -> None:
    assert planned(staged(tmp_path, plan(doses=doses), SESSION))[0][1] == Decimal(30)


def test_two_doses_to_two_targets_are_asked_and_never_chosen(tmp_path: Path) -> None:
    folder = staged(tmp_path, plan(doses=("30", "24")), SESSION)
    assert planned(folder) == [("C1", None, 10, "robotic_srt")]
    assert findings(folder) == [("structure/unreadable_number", "0.dcm", "1", "TargetPrescriptionDose", "30\\24")]
    assert fractions(folder) == [(1, "2015-01-12", Decimal(3), "complete")]


def test_without_a_prescription_the_beams_are_summed_over_the_fractions(tmp_path: Path) -> None:
    assert planned(staged(tmp_path, plan(doses=(), fractions=7), SESSION)) == [("C1", Decimal(21), 7, "robotic_srt")]


@pytest.mark.parametrize("approval", ["UNAPPROVED", "REJECTED"])
def test_a_draft_is_dropped_and_what_refers_to_it_is_asked(tmp_path: Path, approval: str) -> None:
    draft = plan("1.2", ("60",), approval)
    folder = staged(tmp_path, plan(), draft, SESSION, record("2.2", 2, *WHOLE, of="1.2"))
    assert planned(folder) == [("C1", Decimal(30), 10, "robotic_srt")]
    assert sorted(rows(folder / "dropped.parquet", "distinct source_file, reason")) == [
        ("0.dcm", "no_treatment_beam"), ("1.dcm", "plan_not_approved"),
    ]  # fmt: skip
    assert [(number, dose) for number, _, dose, _ in fractions(folder)] == [(1, Decimal(3)), (2, None)]
    assert {(rule, file) for rule, file, *_ in findings(folder)} == {("structure/unreadable_number", "3.dcm")}


def test_a_beam_without_its_type_is_asked(tmp_path: Path) -> None:
    """It may be a treatment: it is not taken, and not left out in silence."""
    session = record("2.1", 1, (1, "", "150", "NORMAL"))
    folder = staged(tmp_path, plan(), session)
    assert fractions(folder) == []
    (asked,) = findings(folder)
    assert asked[:2] == ("structure/unused_row", "1.dcm") and asked[-1] == "TreatmentDeliveryType: -"


def test_the_same_file_twice_counts_once(tmp_path: Path) -> None:
    folder = staged(tmp_path, plan(), plan(), SESSION, SESSION, written(SESSION, bare=True))
    assert fractions(folder) == [(1, "2015-01-12", Decimal(3), "complete")]
    assert len(planned(folder)) == 1 and findings(folder) == []
    assert set(rows(folder / "dropped.parquet", "source_file, reason", "source = 'records'")) == {
        ("3.dcm", "sent_twice"), ("4.dcm", "sent_twice"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "beams",
    [
        ((1, "TREATMENT", "150", "NORMAL"), (2, "TREATMENT", "75", "NORMAL")),
        ((1, "TREATMENT", "150", "NORMAL"),),
        ((3, "TREATMENT", "150", "NORMAL"),),
        (*WHOLE, (3, "TREATMENT", "150", "NORMAL")),
    ],
)
def test_two_records_under_one_identifier_are_asked_and_never_chosen(tmp_path: Path, beams: Any) -> None:
    other = record("2.1", 1, *beams)
    folder = staged(
        tmp_path, plan(), SESSION, record("2.2", 2, *WHOLE, day="20150113"), other, written(other, bare=True)
    )
    assert findings(folder) == [("structure/two_contents", "1.dcm", "1", "SOPInstanceUID", "2.1")]
    assert rows(folder / "findings.parquet", "local_id, usubjid") == [("R3-1", "RCC-ME2-001-X")]
    assert fractions(folder) == [(2, "2015-01-13", Decimal(3), "complete")]
    reasons = rows(folder / "dropped.parquet", "distinct source_file, reason", "source = 'records'")
    assert reasons == [(f"{n}.dcm", "two_contents") for n in (1, 3, 4)]


def test_two_plans_under_one_identifier_are_asked_and_never_chosen(tmp_path: Path) -> None:
    folder = staged(tmp_path, plan(), SESSION, plan(doses=("24",)))
    assert ("structure/two_contents", "0.dcm", "1", "SOPInstanceUID", "1.1") in findings(folder)
    assert planned(folder) == []
    assert [(number, dose) for number, _, dose, _ in fractions(folder)] == [(1, None)]


def test_two_contents_in_one_table_are_asked_with_their_lines(tmp_path: Path) -> None:
    head = "PatientID,StudyID,SOPInstanceUID,ReferencedRTPlanUID,TreatmentDate,CurrentFractionNumber,BeamNumber,"
    head += "TreatmentDeliveryType,TreatmentTerminationStatus,SpecifiedPrimaryMeterset,DeliveredPrimaryMeterset\n"
    line = "R3-1,C1,{uid},1.1,20150112,{n},1,TREATMENT,NORMAL,150,{given}\n"
    lines = [("2.1", 1, 150), ("2.2", 2, 150), ("2.2", 2, 150), ("2.1", 1, 75)]
    made = {"RT3_record_beams.csv": head + "".join(line.format(uid=u, n=n, given=g) for u, n, g in lines)} | TABLES
    made["RT3_plan_beams.csv"] = (
        "PatientID,PatientSex,StudyID,SOPInstanceUID,RTPlanLabel,RTPlanDate,ApprovalStatus,NumberOfFractionsPlanned,"
        "TargetPrescriptionDose,BeamNumber,BeamName,TreatmentDeliveryType,BeamDose,BeamMeterset\n"
        "R3-1,M,C1,1.1,C1,20150101,APPROVED,10,30,1,A1,TREATMENT,3,150\n"
    )
    folder = deliver(Home(tmp_path / "home"), "rt3", {name: text.encode() for name, text in made.items()})
    assert findings(folder) == [("structure/two_contents", "RT3_record_beams.csv", "2", "SOPInstanceUID", "2.1")]
    assert fractions(folder) == [(2, "2015-01-12", Decimal(3), "complete")]
    assert asked(tmp_path, folder, "it")["expected"] == "un solo contenuto sotto un SOPInstanceUID, qui e alla riga 5"


@pytest.mark.parametrize(
    ("language", "form", "told"),
    [
        ("en", "Radiotherapy fractions delivered", "one content under one SOPInstanceUID, here and in 2.dcm, 3.dcm"),
        ("it", "Frazioni di radioterapia erogate", "un solo contenuto sotto un SOPInstanceUID, qui e in 2.dcm, 3.dcm"),
    ],
)
def test_the_list_of_queries_says_which_record_has_several_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str, form: str, told: str
) -> None:
    """By the form that is made from the file and the identifier that a physicist looks up."""
    others = (record("2.1", 1, (n, "TREATMENT", "150", "NORMAL")) for n in (3, 4))
    folder = staged(tmp_path, plan(), SESSION, *others)
    monkeypatch.setattr("pipelines.queries._language", lambda _: language)
    query = asked(tmp_path, folder, language)
    names = ("form", "field", "value_received", "expected", "file", "line", "local_id")
    assert [query[name] for name in names] == [form, "SOPInstanceUID", "2.1", told, "1.dcm", "1", "R3-1"]
    assert told in query["problem"]


def test_a_session_and_its_continuation_are_one_fraction(tmp_path: Path) -> None:
    first = record("2.1", 1, (1, "TREATMENT", "60", "MACHINE"), (3, "SETUP", "1", "NORMAL"))
    again = record("2.2", 1, (1, "CONTINUATION", "90", "NORMAL"), (2, "TREATMENT", "150", "NORMAL"))
    folder = staged(tmp_path, plan(), first, again)
    assert fractions(folder) == [(1, "2015-01-12", Decimal(3), "complete")]
    alone = tmp_path / "alone"
    alone.mkdir()
    assert fractions(staged(alone, plan(), first)) == [(1, "2015-01-12", Decimal("0.6"), "stopped")]
    assert findings(folder) == []


def test_a_continuation_on_another_day_is_a_second_session_of_one_fraction(tmp_path: Path) -> None:
    """A row is a session: the courses count fractions by their number, and its doses stay two for the BED."""
    first = record("2.1", 1, (1, "TREATMENT", "60", "MACHINE"))
    again = record("2.2", 1, (1, "CONTINUATION", "90", "NORMAL"), (2, "TREATMENT", "150", "NORMAL"), day="20150113")
    folder = staged(tmp_path, plan(), first, again)
    assert fractions(folder) == [
        (1, "2015-01-12", Decimal("0.6"), "stopped"),
        (1, "2015-01-13", Decimal("2.4"), "complete"),
    ]
    assert findings(folder) == []


def test_files_lie_in_a_zip_among_others(tmp_path: Path) -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {
            "DICOM/a.dcm": written(plan()), "DICOM/b.dcm": written(SESSION, bare=True),
            "DICOM/CT/1.dcm": written(image()),
            "DICOM/readme.txt": b"Invented data", "DICOM/DICOMDIR": b"\0",
        }.items():  # fmt: skip
            archive.writestr(name, content)
    made = {"export.zip": buffer.getvalue()} | {name: text.encode() for name, text in TABLES.items()}
    folder = deliver(Home(tmp_path / "home"), "rt3", made)
    assert fractions(folder) == [(1, "2015-01-12", Decimal(3), "complete")]
    assert findings(folder) == [("structure/other_modality", "export.zip!DICOM/CT/1.dcm", "1", None, "CT")]
    # both plans and records look for their files here
    assert len(rows(folder / "findings.parquet", "rule_id")) == 1
    others = rows(folder / "received.parquet", "source_file", "source is null")
    assert others == [("export.zip!DICOM/DICOMDIR",), ("export.zip!DICOM/readme.txt",)]


def test_a_file_that_was_cut_off_rejects_the_delivery(tmp_path: Path) -> None:
    # what is left opens without complaint
    cut = written(plan())[:-40]
    with pytest.raises(DeliveryRejected, match=r"2\.dcm: expected") as error:
        staged(tmp_path, plan(), SESSION, cut)
    assert "Rossi" not in str(error.value)
