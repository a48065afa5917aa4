"""What holds of any laboratory value and of any two units' records, and that the criteria are whole."""

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from test_specs import connection, fill

from pipelines import models, study

GRADES = models.load()["assessed.lab_grades"]
MERGED = models.load()["derived.merged_events"]
MILLI = Decimal("0.001")
START = date(2015, 1, 1)


def criteria(columns: str) -> list[tuple[str, ...]]:
    return connection().execute(f"select {columns} from study.ctcae_lab order by list_order").fetchall()


def grades(rows: list[tuple[str, Decimal, str | None, Decimal, Decimal]]) -> list[tuple[int | None, int | None]]:
    """Grades of (test, value, unit, lower limit, upper limit), each a subject of its own, without a baseline."""
    con = connection()
    for name in GRADES.deps:
        if not name.startswith("study."):
            fill(con, name, None)
    names = [f"S{i:04}" for i in range(len(rows))]
    con.executemany("insert into assessed.subject_dates (usubjid) values (?)", [[n] for n in names])
    con.executemany(
        "insert into harmonised.labs (usubjid, lbtestcd, lbstresn, lbstresu, lbstnrlo, lbstnrhi) "
        "values (?, ?, ?, ?, ?, ?)",
        [[n, *row] for n, row in zip(names, rows, strict=True)],
    )
    return con.execute(f"select grade_low, grade_high from ({GRADES.sql}) order by usubjid").fetchall()


def test_criteria_are_whole() -> None:
    """Tests, terms and units are known, every test but thyrotropin has criteria, and a worse grade lies further out."""
    tests, terms = set(study.codelist("lab_test")), set(study.codelist("ctcae_term"))
    units = {row[0] for row in connection().execute("select distinct unit from study.lab_unit").fetchall()}
    rows = criteria("lbtestcd, aedecod, direction, unit, reference, grade::int, multiple, absolute, criterion, source")
    assert {row[0] for row in rows} == tests - {"TSH"}
    assert {row[1] for row in rows} <= terms and {row[3] for row in rows if row[3]} <= units
    assert {row[9] for row in rows} == {"CTCAE v4.03"}
    for kind in {(row[0], row[2], row[3], row[4]) for row in rows}:
        bounds = [r[6:8] for r in rows if (r[0], r[2], r[3], r[4]) == kind and (r[6] or r[7])]
        numbers = [tuple(Decimal(n or 0) for n in bound) for bound in bounds]
        assert len(set(numbers)) == len(numbers)
        assert numbers == sorted(numbers, reverse=kind[1] == "low"), kind


MULTIPLES = [
    (t, Decimal(m), int(g))
    for t, g, m, r in criteria("lbtestcd, grade, multiple, reference")
    if r == "ULN" and m is not None
]
LIMITS = st.integers(1, 9_000).map(lambda n: Decimal(n) / 100)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(MULTIPLES), LIMITS), min_size=1, max_size=30))
def test_a_bound_is_still_the_lower_grade(cases: list[tuple[tuple[str, Decimal, int], Decimal]]) -> None:
    """Whatever the limit: exactly at a multiple the grade below it holds, a thousandth more is the grade itself."""
    at = [(test, (m * limit).quantize(MILLI), "U/L", Decimal(0), limit) for (test, m, _), limit in cases]
    above = [(test, value + MILLI, *rest) for test, value, *rest in at]
    assert [high for _, high in grades(at)] == [grade - 1 for (_, _, grade), _ in cases]
    assert [high for _, high in grades(above)] == [grade for (_, _, grade), _ in cases]


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["g/dL", "g/L", "mmol/L"]),
    st.lists(st.integers(0, 250_000), min_size=2, max_size=40),
    st.integers(1, 90_000),
    st.integers(0, 90_000),
)
def test_a_lower_haemoglobin_is_never_a_better_grade(unit: str, values: list[int], low: int, width: int) -> None:
    limits = (Decimal(low) / 1000, Decimal(low + width) / 1000)
    got = grades([("HGB", Decimal(v) / 1000, unit, *limits) for v in sorted(values)])
    downwards = [g for g, _ in got]
    assert downwards == sorted(downwards, reverse=True)
    upwards = [g for _, g in got if g is not None]
    assert upwards == sorted(upwards)


def merged(records: list[tuple[str, int, int | None]]) -> list[tuple[int, int]]:
    """Day of an onset and of the event it belongs to, for (centre, day of onset, length or open)."""
    con = connection()
    for name in MERGED.deps:
        if not name.startswith("study."):
            fill(con, name, None)
    con.executemany(
        "insert into harmonised.adverse_events (usubjid, aedecod, centre, aestdt, aeendt) "
        "values ('S1', 'Fatigue', ?, ?, ?)",
        [
            [c, START + timedelta(day), None if length is None else START + timedelta(day + length)]
            for c, day, length in records
        ],
    )
    found: list[tuple[date, date]] = con.execute(f"select aestdt, event_dt from ({MERGED.sql})").fetchall()
    return [((a - START).days, (e - START).days) for a, e in found]


RECORD = st.tuples(st.sampled_from(["me1", "rt1"]), st.integers(0, 40), st.none() | st.integers(0, 15))


@settings(max_examples=150, deadline=None)
@given(st.lists(RECORD, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_two_onsets_of_one_unit_are_two_events(records: list[tuple[str, int, int | None]], random: Random) -> None:
    """An event takes at most one onset from each unit, its own is the earliest, and the order of rows is no matter."""
    pairs = merged(records)
    random.shuffle(records)
    assert sorted(merged(records)) == sorted(pairs)
    days = {day for _, day, _ in records}
    event_of = {day: dict(pairs).get(day, day) for day in days}
    assert all(event < day and event in days and event_of[event] == event for day, event in pairs)
    taken = Counter((centre, event_of[day]) for centre, day in {(c, d) for c, d, _ in records})
    assert max(taken.values()) == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 12), st.integers(0, 12))
def test_two_records_are_one_event_when_close_or_overlapping(a: int, b: int, length_a: int, length_b: int) -> None:
    tolerance = study.protocol()["same_event_days"]["value"]
    first, later, length = (a, b, length_a) if a <= b else (b, a, length_b)
    found = merged([("me1", a, length_a), ("rt1", b, length_b)])
    one = first < later and (later - first <= tolerance or later <= first + length)
    assert found == ([(later, first)] if one else [])
