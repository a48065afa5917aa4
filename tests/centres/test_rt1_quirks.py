"""What reports of an ARIA-like system do to their reader: fields, QA, resumed fractions, encoding, totals, ragged."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from delivered import compared, deliver, rows, write_export

from pipelines import study
from pipelines.errors import DeliveryRejected
from pipelines.warehouse import Home

NAME, FIELDS, TARGETS, TOXICITY = "rt1", "ARIA_trattamenti.csv", "ARIA_bersagli.csv", "ARIA_tossicita.csv"
PATIENT = "0009001"
HEADER = (
    "PatientId;CourseId;PlanSetupId;RadiationId;FractionNumber;TotalFractions;FractionDose;TotalDose;MachineId;TxDate;"
    "TerminationStatus;Intent;Sede;Note"
)
Edit = Callable[[str], str]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Text of every file of one clean delivery."""
    folder = write_export(NAME, tmp_path_factory.mktemp("export"))
    return {p.name: p.read_bytes().decode("cp1252") for p in folder.glob("*.csv")}


def taken(
    tmp_path: Path, export: dict[str, str], edits: dict[str, Edit] | None = None, encoding: str = "cp1252"
) -> Path:
    texts = {name: (edits or {}).get(name, str)(text) for name, text in export.items()}
    return deliver(Home(tmp_path / "home"), NAME, {name: text.encode(encoding) for name, text in texts.items()})


def fraction(number: int, field: int, day: str, dose: str = "7,5", plan: str = "P1", status: str = "NORMAL") -> str:
    head = f"{PATIENT};C1;{plan};F{field};{number};3;{dose};22,5;LINAC1;{day};{status}"
    return f"{head};Palliativo;Osso;"


def treated(tmp_path: Path, export: dict[str, str], lines: list[str]) -> Path:
    """The export with one patient whose fields are these lines, in a target, with a study code."""

    def add(line: str, *more: str) -> Edit:
        return lambda text: text.replace("\r\nTotale", "".join(f"\r\n{each}" for each in (line, *more)) + "\r\nTotale")

    code = add(f"{PATIENT};RCC-ME1-901-X;Maschio;1950")
    target = add(f"{PATIENT};C1;T1;Osso;SBRT;L1")
    return taken(tmp_path, export, {FIELDS: add(*lines), TARGETS: target, "ARIA_codici_studio.csv": code})


def fractions(staged: Path) -> list[tuple[object, ...]]:
    return rows(staged / "fractions.parquet", "fraction_no, dose_gy, fraction_status", f"local_id = '{PATIENT}'")


def course(staged: Path) -> list[tuple[object, ...]]:
    columns = "planned_dose_gy, planned_fractions, delivered_dose_gy, delivered_fractions"
    return rows(staged / "courses.parquet", columns, f"local_id = '{PATIENT}'")


def test_the_export_is_what_the_unit_writes(export: dict[str, str]) -> None:
    text = export[FIELDS]
    assert text.splitlines()[0].startswith("Unità") and text.splitlines()[3] == HEADER
    assert "\r\n" in text and "\n" not in text.replace("\r\n", "") and "Totale;" in text


def test_every_field_carries_the_dose_of_its_fraction_which_counts_once(tmp_path: Path, export: dict[str, str]) -> None:
    lines = [fraction(n, f, f"0{n}/03/2015") for n in (1, 2, 3) for f in (1, 2, 3)]
    staged = treated(tmp_path, export, lines)
    assert fractions(staged) == [(n, Decimal("7.5"), "complete") for n in (1, 2, 3)]
    assert course(staged) == [(Decimal("22.5"), 3, Decimal("22.5"), 3)]


def test_two_plans_of_a_day_add_up(tmp_path: Path, export: dict[str, str]) -> None:
    lines = [fraction(1, f, "02/03/2015", "2,5", plan) for plan in ("P1", "P2") for f in (1, 2)]
    assert fractions(treated(tmp_path, export, lines)) == [(1, Decimal(5), "complete")]


def test_a_resumed_fraction_is_the_same_fraction_of_another_day(tmp_path: Path, export: dict[str, str]) -> None:
    """Stopped on one day and taken up on the next: each session has its share, the course the whole."""
    lines = [
        fraction(1, 1, "02/03/2015"),
        fraction(2, 1, "03/03/2015", "3", status="OPERATOR"),
        fraction(2, 1, "04/03/2015", "4,5"),
    ]
    staged = treated(tmp_path, export, lines)
    assert fractions(staged) == [
        (1, Decimal("7.5"), "complete"), (2, Decimal(3), "stopped"), (2, Decimal("4.5"), "complete"),
    ]  # fmt: skip
    assert course(staged)[0][2] == Decimal(15)


@pytest.mark.parametrize("day", ["27.06.2016", ""])
def test_a_field_without_a_day_belongs_to_the_one_session_of_its_fraction(
    tmp_path: Path, export: dict[str, str], day: str
) -> None:
    lines = [fraction(n, f, day if (n, f) == (1, 2) else f"0{n}/03/2015") for n in (1, 2, 3) for f in (1, 2)]
    staged = treated(tmp_path, export, lines)
    assert fractions(staged) == [(n, Decimal("7.5"), "complete") for n in (1, 2, 3)]
    assert course(staged) == [(Decimal("22.5"), 3, Decimal("22.5"), 3)]


@pytest.mark.parametrize(
    "lines",
    [
        # stopped and taken up again: the field may be of either day, or of a third one
        [fraction(1, 1, "02/03/2015"), fraction(1, 1, "03/03/2015"), fraction(1, 2, "?")],
        [fraction(1, 1, "02/03/2015", "3", status="OPERATOR"), fraction(1, 1, "?", "4,5")],
    ],
)
def test_what_a_field_without_a_day_may_belong_to_has_no_total(
    tmp_path: Path, export: dict[str, str], lines: list[str]
) -> None:
    staged = treated(tmp_path, export, lines)
    assert course(staged) == [(Decimal("22.5"), 3, None, None)]
    assert rows(staged / "fractions.parquet", "count(*), count(dose_gy)", f"local_id = '{PATIENT}'") == [
        (len(lines), len(lines) - 1)
    ]
    assert ("structure/unreadable_date",) in rows(staged / "findings.parquet", "rule_id", "value_received = '?'")


def test_a_fraction_of_which_no_field_has_a_day_counts_once(tmp_path: Path, export: dict[str, str]) -> None:
    lines = [fraction(1, 1, "02/03/2015"), *(fraction(2, f, "?") for f in (1, 2))]
    assert course(treated(tmp_path, export, lines)) == [(Decimal("22.5"), 3, Decimal(15), 2)]


@pytest.mark.parametrize(("dose", "told"), [("0,2", "0.2 | 7.5"), ("-7,5", "-7.5 | 7.5"), ("75", "7.5 | 75")])
def test_fields_of_one_fraction_with_different_doses_are_asked_and_none_is_used(
    tmp_path: Path, export: dict[str, str], dose: str, told: str
) -> None:
    lines = [fraction(n, f, f"0{n}/03/2015", dose if (n, f) == (2, 2) else "7,5") for n in (1, 2, 3) for f in (1, 2)]
    staged = treated(tmp_path, export, lines)
    assert fractions(staged) == [(n, None if n == 2 else Decimal("7.5"), "complete") for n in (1, 2, 3)]
    assert course(staged) == [(Decimal("22.5"), 3, None, 3)]
    columns = "table_name, field, staged_field, value_received, expected"
    expected = "the same value in each of these rows"
    assert rows(staged / "findings.parquet", columns, "rule_id = 'structure/rows_differ'") == [
        ("fractions", "FractionDose", "dose_gy", told, expected),
    ]


def test_one_stopped_field_is_a_stopped_fraction_and_a_blank_number_belongs_to_the_fraction_of_its_day(
    tmp_path: Path, export: dict[str, str]
) -> None:
    lines = [
        fraction(n, f, f"0{n}/03/2015", status="OPERATOR" if n == f == 2 else "NORMAL") for n in (1, 2) for f in (1, 2)
    ]
    lines[1] = lines[1].replace(";F2;1;", ";F2;;")
    staged = treated(tmp_path, export, lines)
    assert fractions(staged) == [(1, Decimal("7.5"), "complete"), (2, Decimal("7.5"), "stopped")]
    assert course(staged) == [(Decimal("22.5"), 3, Decimal(15), 2)]


def test_two_totals_of_one_plan_are_asked(tmp_path: Path, export: dict[str, str]) -> None:
    lines = [fraction(n, 1, f"0{n}/03/2015") for n in (1, 2)]
    lines[1] = lines[1].replace(";22,5;", ";999;")
    staged = treated(tmp_path, export, lines)
    assert course(staged) == [(None, 3, Decimal(15), 2)]
    told = rows(staged / "findings.parquet", "field, value_received", "rule_id = 'structure/rows_differ'")
    assert told == [("TotalDose", "22.5 | 999")]


def test_a_cell_that_is_looked_up_is_asked_once_where_it_stands(tmp_path: Path, export: dict[str, str]) -> None:
    def edit(text: str) -> str:
        return text.replace(";SBRT;", ";BOH;", 1)

    staged = taken(tmp_path, export, {TARGETS: edit})
    line = next(n for n, text in enumerate(edit(export[TARGETS]).splitlines(), 1) if ";BOH;" in text)
    columns = "table_name, field, value_received, source_file, source_row"
    assert rows(staged / "findings.parquet", columns) == [("targets", "Tecnica", "BOH", TARGETS, str(line))]
    assert rows(staged / "courses.parquet", "count(*)", "technique is null") == [(1,)]
    unread = rows(staged / "field_counts.parquet", "sum(n_unread)", "field = 'technique'")
    assert unread == [(1,)]


def test_a_fraction_that_stands_there_twice_counts_once(tmp_path: Path, export: dict[str, str]) -> None:
    line = fraction(1, 1, "02/03/2015")
    assert fractions(treated(tmp_path, export, [line, line])) == [(1, Decimal("7.5"), "complete")]


def test_checks_on_a_phantom_and_verification_courses_are_dropped_with_a_reason(
    tmp_path: Path, export: dict[str, str]
) -> None:
    staged = taken(tmp_path, export)
    reasons = {r for (r,) in rows(staged / "dropped.parquet", "distinct reason")}
    assert reasons == {"total_row", "qa_course", "qa_patient"}
    for table in study.staged_tables():
        assert rows(staged / f"{table}.parquet", "count(*)", "local_id like '$%' or local_id like 'Totale%'") == [(0,)]
    assert rows(staged / "fractions.parquet", "count(*)", "course_id like 'QA%'") == [(0,)]


def test_a_total_in_the_middle_ends_nothing(tmp_path: Path, export: dict[str, str]) -> None:
    """A subtotal for each patient: what is below it is read as what is above it."""
    lines = [fraction(n, 1, f"0{n + 1}/03/2015") for n in range(1, 4)]
    total = "Totale paziente;2" + ";" * (lines[0].count(";") - 1)
    staged = treated(tmp_path, export, [*lines[:2], total, lines[2]])
    assert [number for number, *_ in fractions(staged)] == [1, 2, 3]


def test_a_plan_that_was_never_delivered_has_no_course(tmp_path: Path, export: dict[str, str]) -> None:
    """Only delivered fields are in the report; the target without them is for the rules to see."""
    add = f"{PATIENT};C1;T1;Osso;SBRT;L1\r\nTotale"
    staged = taken(tmp_path, export, {TARGETS: lambda t: t.replace("Totale", add, 1)})
    assert course(staged) == [] and fractions(staged) == []
    assert rows(staged / "targets.parquet", "course_id", f"local_id = '{PATIENT}'") == [("C1",)]


@pytest.mark.parametrize("text", ["1E5", "9001", "9001,0", "000 9001"])
def test_an_id_that_a_spreadsheet_damaged(tmp_path: Path, export: dict[str, str], text: str) -> None:
    line = fraction(1, 1, "02/03/2015").replace(PATIENT, text)
    staged = treated(tmp_path, export, [line])
    found = rows(staged / "findings.parquet", "distinct rule_id, field, value_received", "rule_id like '%damaged%'")
    assert found == [("structure/damaged_id", "PatientId", None)]
    assert fractions(staged) == []


@pytest.mark.parametrize(
    ("column", "text", "rule", "staged"),
    [
        (6, "1.234,5", "unreadable_number", ("fractions", "dose_gy")),
        (6, "7.5", "unreadable_number", ("fractions", "dose_gy")),
        (6, ">7,5", "unreadable_number", ("fractions", "dose_gy")),
        (9, "28/13/2015", "unreadable_date", ("fractions", "fxdt")),
        (9, "03/28/2015", "unreadable_date", ("fractions", "fxdt")),
        (9, "01/01/1900", "unreadable_date", ("fractions", "fxdt")),
        (9, "03/2015", "unreadable_date", ("fractions", "fxdt")),
        (10, "INTERRUPTED", "unmapped_code", ("fractions", "fraction_status")),
    ],
)
def test_what_cannot_be_read_is_null_and_asked_for(
    tmp_path: Path, export: dict[str, str], column: int, text: str, rule: str, staged: tuple[str, str]
) -> None:
    cells = fraction(1, 1, "02/03/2015").split(";")
    cells[column] = text
    folder = treated(tmp_path, export, [";".join(cells)])
    table, name = staged
    assert rows(folder / f"{table}.parquet", name, f"local_id = '{PATIENT}'") == [(None,)]
    found = rows(folder / "findings.parquet", "distinct rule_id, field, value_received", f"staged_field = '{name}'")
    assert found == [(f"structure/{rule}", HEADER.split(";")[column], text)]


@pytest.mark.parametrize("name", [FIELDS, TARGETS, TOXICITY])
def test_a_file_in_utf_8_is_refused_as_such(tmp_path: Path, export: dict[str, str], name: str) -> None:
    """Read as Windows-1252 it would give `UnitÃ `; no byte of it is wrong there."""
    files = {n: text.encode("utf-8" if n == name else "cp1252") for n, text in export.items()}
    with pytest.raises(DeliveryRejected) as rejected:
        deliver(Home(tmp_path / "home"), NAME, files)
    assert f"{name}, line 1: expected text in cp1252" in str(rejected.value) and "UTF-8" in str(rejected.value)


def test_one_line_of_another_encoding_gives_codes_that_nobody_knows(tmp_path: Path, export: dict[str, str]) -> None:
    """A cell that went through a wrong program: not its neighbours, and never another code."""
    before = taken(tmp_path / "before", export)
    broken = "Sì".encode().decode("cp1252")
    edit = {"ARIA_ristadiazioni.csv": lambda t: t.replace(";Sì;", f";{broken};", 1)}
    after = taken(tmp_path / "after", export, edit)
    assert rows(after / "findings.parquet", "rule_id, field, value_received") == [
        ("structure/unreadable_flag", "Ristadiazione", broken)
    ]
    counted = "count(*), count(restaging_fl)"
    ((n, given),) = rows(before / "restagings.parquet", counted)
    assert rows(after / "restagings.parquet", counted) == [(n, given - 1)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (";Palliativo;", ";", "14 columns"),
        (";Palliativo;", ";Pallia;tivo;", "14 columns"),
        (";Palliativo;", ';"Palliativo;', "expected"),
        (";Palliativo;", ';"Pallia"tivo";', "expected"),
        ("PatientId;", "Paziente;", "a header with FractionDose, PatientId"),
        (";TxDate;", ";TxDate2;", "column TxDate: expected this key column"),
        (";", "\t", "a header with FractionDose, PatientId"),
    ],
)
def test_a_damaged_file_is_refused_with_its_place(
    tmp_path: Path, export: dict[str, str], old: str, new: str, expected: str
) -> None:
    n = -1 if old == ";" else 1
    with pytest.raises(DeliveryRejected) as rejected:
        taken(tmp_path, export, {FIELDS: lambda text: text.replace(old, new, n)})
    assert FIELDS in str(rejected.value) and expected in str(rejected.value)


def test_a_preamble_may_have_another_length_and_the_end_of_lines_may_differ(
    tmp_path: Path, export: dict[str, str]
) -> None:
    before = taken(tmp_path / "before", export)
    after = taken(tmp_path / "after", export, {FIELDS: lambda t: ("Stampato oggi\r\n" + t).replace("\r\n", "\n")})
    for table in ("fractions", "courses"):
        columns = compared(table).replace(", source_row", "")
        assert rows(after / f"{table}.parquet", columns) == rows(before / f"{table}.parquet", columns)
    number = "source_row::int"
    assert rows(after / "fractions.parquet", number)[0][0] == rows(before / "fractions.parquet", number)[0][0] + 1
