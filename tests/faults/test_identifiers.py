"""Values that look like a person's identifiers are found wherever they stand, and ordinary values are not."""

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
