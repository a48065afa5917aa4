"""Values that look like a person's identifiers are found wherever they stand, and ordinary values are not."""

import hashlib
import itertools
import re
import uuid
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from pipelines import warehouse
from pipelines.deliveries import identifiers


def kinds(value: str) -> list[str]:
    con = warehouse.memory()
    con.execute("create table rows_read (source_file varchar, source_row varchar, note varchar, sex varchar)")
    con.execute("insert into rows_read values ('a.csv', '2', null, 'M'), ('a.csv', '3', $v, 'F')", {"v": value})
    problems = identifiers.find(con, "rows_read", ["note", "sex"])
    assert all(p.place == "column note, row 3 (1 rows)" for p in problems)
    assert not any(value in str(p) for p in problems), "the value itself must not be shown"
    return [p.expected.split(": ")[1] for p in problems]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("RSSMRA80A01H501U", "Italian fiscal code"),
        ("cf: rssmra80a01h501u, vedi", "Italian fiscal code"),
        ("scrivere a m.rossi@example.org", "e-mail address"),
        ("+39 333 1234567", "phone number"),
        ("0039 0552758111", "phone number"),
        ("333-1234567", "phone number"),
        ("tel. 055 2758111", "phone number"),
    ],
)
def test_an_identifier_is_found(value: str, kind: str) -> None:
    assert kinds(value) == [kind]


@pytest.mark.parametrize(
    "value",
    [
        "RCC-ABC-007-A", "2014-03-28", "28/03/2014 10:15:00", "1.2.826.0.1.3680043.8.498.1234567890", "0000123",
        "3750 cGy/5 fr", "2014-03-28T10:15:00+02:00", "345.678901", "0012345678", "SABR_BONE_L3@2", "37,5/7,5 Gy",
    ],
)  # fmt: skip
def test_an_ordinary_value_is_none(value: str) -> None:
    assert kinds(value) == []


@pytest.mark.parametrize("name", ["source_file", "Source_Row", "_n", "_0", 'a "b"'])
def test_an_identifier_is_found_in_a_column_that_nobody_reads_whatever_its_name(name: str) -> None:
    rows = "select 'a.csv', i::varchar, '', case when i = 3 then 'm.rossi@example.org' end from range(2, 5) t(i)"
    assert identifiers.in_unread(warehouse.memory(), rows, ["note", name]) == [
        ("a.csv", "3", name, "e-mail address", 1)
    ]


def test_a_filled_column_that_names_a_patient_is_found_and_a_blank_one_is_not() -> None:
    rows = "select 'a.csv', i::varchar, ' ', case when i = 3 then 'Rossi' end, 'Rossi' from range(2, 5) t(i)"
    found = identifiers.in_unread(warehouse.memory(), rows, ["Nome paziente", "Cognome", "note"])
    assert found == [("a.csv", "3", "Cognome", identifiers.NAMED, 1)]


def realistic() -> Iterator[str]:
    """Thousands of values as the seven kinds of export write them, none of which names anybody."""
    day = date(2009, 12, 31)
    formats = ("%Y-%m-%d", "%d/%m/%Y", "%d/%m/%y", "%d-%b-%Y", "%Y%m%d", "%d.%m.%Y", "%m/%Y", "%Y-%m-%dT08:30:00+02:00")
    for number in range(0, 2600, 7):
        yield from ((day + timedelta(number)).strftime(f) for f in formats)
        yield f"RCC-ME{number % 3 + 1}-{number:03d}-{'ABCDEFGHIJ'[number % 10]}"
        yield f"2.25.{number * 10**30 + 329800735698586629295641978511506172918 % 10**34}"
        yield f"1.2.246.352.71.5.{number}33{number:04d}.{number}.20140{number % 9 + 1}"
        yield from (f"{number / 100:.2f}", f"{number / 100:.2f}".replace(".", ","), f"{number:010d}", f"-{number}.5")
        yield from (f"{number % 40 + 1}x{number % 12 + 1},5 Gy", f"{number} cGy/{number % 30 + 1} fr", f"1E{number}")
        yield from (
            f"{number % 9}.{number % 999:03d},5",
            f"SS_{number}",
            f"L{number}+L{number + 1}",
            f">{number}",
            "3-4",
        )
        yield from (
            f"{number * 7919 % 10**6}.{number:03d}\\{number % 500}.0\\-{number % 300}.25",
            f"COLONNA D{number % 12 + 1}",
        )
        yield hashlib.sha256(str(number).encode()).hexdigest()
        yield str(uuid.UUID(int=number * 10**33 % 2**128))
    yield from (
        "Rx: plan 1.1 vs 1.2, 30 Gy @ 80 %",
        "CTV@80%",
        "a@b",
        "v. ref. 12/2014 - fr 3/5",
        "ALT 345 U/L, AST 320 U/L",
    )
    yield from ("isodose 80 % (27 Gy/3 fx)", "T10-T12", "cell count 12", "Hounsfield -350 / 120", "http://hl7.org/fhir")


def test_values_of_real_exports_are_no_identifiers() -> None:
    con = warehouse.memory()
    con.execute("create table rows_read (source_file varchar, source_row varchar, note varchar)")
    values = list(realistic())
    con.execute("insert into rows_read select 'a.csv', unnest($v), unnest($v)", {"v": values})
    assert con.execute("select count(distinct note) from rows_read").fetchall()[0][0] > 5000
    assert [str(p) for p in identifiers.find(con, "rows_read", ["note"])] == []


def test_a_fiscal_code_with_letters_for_any_of_its_digits_is_found() -> None:
    code, digits = "RSSMRA80A01H501U", (6, 7, 9, 10, 12, 13, 14)
    for many in range(1, len(digits) + 1):
        for places in itertools.combinations(digits, many):
            letters = [("LMNPQRSTUV"[int(c)] if n in places else c) for n, c in enumerate(code)]
            assert re.search(identifiers.PATTERNS["Italian fiscal code"], "".join(letters)), places
    assert kinds("RSSMRAULALMHRLMU") == ["Italian fiscal code"]
