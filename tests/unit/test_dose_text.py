"""Doses written as text: any schedule in a listed form reads back as the same numbers, anything else as nothing."""

from decimal import Decimal

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.staging_words import MACROS

Read = tuple[int | None, Decimal | None, Decimal | None]
CON = duckdb.connect()
CON.execute(MACROS)


def read(text: str) -> Read:
    """Fractions, dose per fraction and total dose in Gy."""
    query = "select s.n, dose_gray(s.d), dose_gray(s.t) from (select dose_schedule(?) as s)"
    (row,) = CON.execute(query, [text]).fetchall()
    return row


@pytest.mark.parametrize(
    ("text", "n", "each", "total"),
    [
        ("5x7,5 Gy", 5, "7.5", "37.5"),
        ("7,5 Gy x 5", 5, "7.5", "37.5"),
        ("37,5/7,5 Gy", 5, "7.5", "37.5"),
        ("3750 cGy/5 fr", 5, "7.5", "37.5"),
        ("30 Gy in 10 frazioni", 10, "3", "30"),
        ("27Gy/3fx", 3, "9", "27"),
        ("21 Gy x 1", 1, "21", "21"),
        ("37,5 Gy (5x7,5 Gy)", 5, "7.5", "37.5"),
        ("5 x 750 cGy = 37,5 Gy", 5, "7.5", "37.5"),
        ("30 Gy in 10 frazioni da 3 Gy", 10, "3", "30"),
        ("25 Gy in 3 fr", 3, "8.333333", "25"),  # stated by the total: nothing is rounded but what is not stated
    ],
)
def test_what_is_beyond_doubt_is_read(text: str, n: int, each: str, total: str) -> None:
    assert read(text) == (n, Decimal(each), Decimal(total))


@pytest.mark.parametrize(
    "text",
    [
        "30/10", "10 x 3", "10x3", "30 Gy EQD2", "EQD2 37,5/7,5 Gy", "BED 5x7,5 Gy", "5x7,5 Gy + 3x8 Gy",
        "5x7,5 Gy e 1x8 Gy", "20 Gy (5x7,5 Gy)", "5x7,5 Gy = 37 Gy", "30 Gy in 10 frazioni da 2 Gy", "30/9 Gy",
        "3.750 cGy/5 fr", "7,5 x 5 Gy", "0x7,5 Gy", "5x0 Gy", "30 Gy", "5 fr", "5-6x7,5 Gy", ">5x7,5 Gy", "5x7,5 mGy",
        "non 5x7,5 Gy", "", "99999999999999999999999 x 3 Gy",
        "5x550,55 cGy", "2752,75 cGy in 5 fr",
    ],
)  # fmt: skip
def test_what_leaves_a_doubt_is_not(text: str) -> None:
    assert read(text) == (None, None, None)


def shown(dose: Decimal, sign: str) -> str:
    return f"{dose.normalize():f}".replace(".", sign)


@settings(max_examples=200, deadline=None)
@given(
    n=st.integers(1, 60),
    hundredths=st.integers(1, 4000),
    sign=st.sampled_from(".,"),
    unit=st.sampled_from(["Gy", "gy", "GY", "cGy"]),
    space=st.sampled_from(["", " "]),
    form=st.sampled_from(
        [
            "{n}{s}x{s}{d}{s}{u}", "{d}{s}{u}{s}x{s}{n}", "{t}{s}/{s}{d}{s}{u}", "{t}{s}{u}/{n}{s}fr",
            "{t}{s}{u} in {n} frazioni", "{t}{s}{u}/{n}{s}fx", "{n}×{d}{s}{u} = {t}{s}{u}", "{t}{s}{u} ({n}x{d}{s}{u})",
        ]
    ),
)  # fmt: skip
def test_any_schedule_reads_back_as_itself(
    n: int, hundredths: int, sign: str, unit: str, space: str, form: str
) -> None:
    each = Decimal(hundredths) / 100
    factor = 100 if unit == "cGy" else 1
    text = form.format(n=n, d=shown(each * factor, sign), t=shown(each * factor * n, sign), u=unit, s=space)
    assert read(text) == (n, each, n * each)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789xX,./() Gycfrin=+-", max_size=24))
def test_no_text_is_read_without_a_unit_and_two_numbers(text: str) -> None:
    n, each, total = read(text)
    if n is not None and each is not None and total is not None:
        assert "gy" in text.lower() and n > 0
        assert abs(n * each - total) < Decimal(n) / 1_000_000
