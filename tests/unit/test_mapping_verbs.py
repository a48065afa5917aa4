"""Check boxes, partial dates, months by name, shapes of ids, doses as text, layouts by date."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_staging import Landed, one_field, stage

from pipelines import centres, warehouse
from pipelines.errors import MappingError
from pipelines.staging_words import MACROS, MONTHS, with_months

DATA = "  data: {files: d.csv, read: {format: csv}}\n"
BOXES = ["sites___1", "sites___2", "sites___3"]


def boxes(rows: list[list[str | None]]) -> Landed:
    return {"data": (["id", "les", *BOXES, "form_complete"], rows)}


def test_ticked_boxes_become_rows(tmp_path: Path) -> None:
    tables = """\
  surgeries:
    - source: data
      fields:
        local_id: {from: id}
        anatomic_site: {from_checkbox: sites, map: {"1": bone, "2": lung, "3": null}}
"""
    rows: list[list[str | None]] = [
        ["1", "A", "1", "0", "1", "2"],
        ["1", "B", "Checked", "Checked", "Unchecked", "Complete"],
        ["1", "C", "0", "0", "0", "0"],
        ["1", "D", "0", "x", None, "0"],
    ]
    staged = stage(tmp_path, DATA, tables, boxes(rows))
    there = [("bone", "2"), ("bone", "3"), ("lung", "3"), (None, "5")]
    assert staged.rows("surgeries", "anatomic_site, source_row") == there
    found = staged.rows("findings", "field, value_received, source_row, rule_id", "staged_field = 'anatomic_site'")
    assert found == [("sites___2", "x", "5", "structure/unreadable_flag")]


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (["1", "0", "0", "0"], "Y"),
        (["0", "1", "0", "0"], "N"),  # another box is ticked, so the question was answered
        (["0", "0", "0", "2"], "N"),  # the form is complete
        (["Unchecked", "Unchecked", "Unchecked", "Complete"], "N"),
        (["0", "0", "0", "0"], None),  # unticked or never asked
        (["0", "0", "0", None], None),
        ([None, "1", "0", "2"], None),
    ],
)
def test_no_tick_at_all_is_no_answer_unless_the_form_is_complete(
    tmp_path: Path, row: list[str | None], value: str | None
) -> None:
    tables = """\
  lesions:
    - source: data
      fields:
        local_id: {from: id}
        lesion_id: {from: les}
        measurable_fl: {from_checkbox: sites, box: "1", boxes: ["1", "2", "3"], complete: form_complete}
"""
    staged = stage(tmp_path, DATA, tables, boxes([["1", "A", *row]]))
    assert staged.rows("lesions", "measurable_fl") == [(value,)]
    assert staged.rows("findings", "*", "staged_field = 'measurable_fl'") == []


def test_a_date_without_its_day_has_bounds_and_no_value(tmp_path: Path) -> None:
    tables = """\
  measurements:
    - source: data
      fields:
        local_id: {from: id}
        lesion_id: {from: les}
        trdt: {from: day, formats: ["%d/%m/%Y"], partial: true, months: [en, it]}
"""
    texts = ["01/03/2014", "03/2014", "2014-02", "2015", "UN-MAR-2014", "UNK/03/2014", "UN-UNK-2014", "maggio 2014"]
    texts += ["13/2014", "03/14", "foo 2014", "01/01/1900", "02-2014 circa"]
    rows: list[list[str | None]] = [["1", f"L{n}", text] for n, text in enumerate(texts)]
    staged = stage(tmp_path, DATA, tables, {"data": (["id", "les", "day"], rows)})
    assert [d for (d,) in staged.rows("measurements", "trdt") if d] == [date(2014, 3, 1)]
    columns = "value_received, precision, lower_dt, upper_dt"
    march = ("month", date(2014, 3, 1), date(2014, 3, 31))
    assert sorted(staged.rows("partial_dates", columns)) == [
        ("03/2014", *march),
        ("2014-02", "month", date(2014, 2, 1), date(2014, 2, 28)),
        ("2015", "year", date(2015, 1, 1), date(2015, 12, 31)),
        ("UN-MAR-2014", *march),
        ("UN-UNK-2014", "year", date(2014, 1, 1), date(2014, 12, 31)),
        ("UNK/03/2014", *march),
        ("maggio 2014", "month", date(2014, 5, 1), date(2014, 5, 31)),
    ]
    place = staged.rows("partial_dates", "field, staged_field, usubjid, source_row", "value_received = '03/2014'")
    assert place == [("day", "trdt", "S-1", "3")]
    found = dict(staged.rows("findings", "rule_id, count(*)", "staged_field = 'trdt' group by rule_id"))
    assert found == {"structure/partial_date": 7, "structure/unreadable_date": 5}


def test_a_date_that_may_not_be_partial_stays_unreadable(tmp_path: Path) -> None:
    values, findings = one_field(tmp_path, "measurements", "trdt: {from: raw}", ["03/2014", "2014", "13/28/2014"])
    assert values == [None] * 3 and {f[1] for f in findings} == {"structure/unreadable_date"}


@settings(max_examples=60, deadline=None)
@given(day=st.dates(date(1950, 1, 1), date(2049, 12, 31)), data=st.data())
def test_a_month_by_name_is_the_month(day: date, data: st.DataObject) -> None:
    language = data.draw(st.sampled_from(sorted(MONTHS)))
    names = list(MONTHS[language].values())[day.month - 1].split()
    case = data.draw(st.sampled_from([str.lower, str.upper, str.title]))
    text = f"{day.day:02d}-{case(data.draw(st.sampled_from(names)))}-{day.year}"
    sql = with_months("t", ["en", "it"])
    with warehouse.memory() as con:
        (row,) = con.execute(f"select try_strptime({sql}, '%d-%b-%Y')::date from (select ? as t)", [text]).fetchall()
    assert row == (day,)


@settings(max_examples=60, deadline=None)
@given(day=st.dates(date(1950, 1, 1), date(2049, 12, 31)), form=st.sampled_from(["%m/%Y", "%Y-%m", "UN-%b-%Y", "%Y"]))
def test_a_partial_date_bounds_every_day_that_it_may_be(day: date, form: str) -> None:
    with warehouse.memory() as con:
        con.execute(MACROS)
        read = "partial_lower(t), partial_upper(t), partial_precision(t)"
        (row,) = con.execute(f"select {read} from (select ? as t)", [day.strftime(form)]).fetchall()
    last = {12: 31}.get(day.month, (date(day.year, day.month % 12 + 1, 1) - date(day.year, day.month, 1)).days)
    year = (date(day.year, 1, 1), date(day.year, 12, 31), "year")
    assert row == (year if form == "%Y" else (day.replace(day=1), day.replace(day=last), "month"))


def test_a_damaged_id_is_asked_for_and_never_taken(tmp_path: Path) -> None:
    texts: list[str | None] = ["L01", " L02\u00a0", "\u200bL03", "1E5", "L 4", "l05", "L\u200b06"]
    values, findings = one_field(tmp_path, "lesions", "lesion_id: {from: raw, matches: 'L[0-9]{2}'}", texts)
    assert values == ["L01", "L02", "L03", None, None, None, None]
    assert {f[:2] for f in findings} == {(t, "structure/damaged_id") for t in ("1E5", "L 4", "l05", "L\u200b06")}


def test_a_damaged_id_of_a_subject_stays_in_its_own_files(tmp_path: Path) -> None:
    tables = (
        "  lesions:\n    - {source: data, fields: {local_id: {from: id, matches: '[0-9]+'}, lesion_id: {from: les}}}\n"
    )
    rows: list[list[str | None]] = [["1", "A"], ["1E5", "B"], ["2E5", "B"]]
    staged = stage(tmp_path, DATA, tables, {"data": (["id", "les"], rows)})
    assert staged.rows("lesions", "local_id, usubjid, lesion_id") == [("1", "S-1", "A"), *[(None, None, "B")] * 2]
    found = staged.rows("findings", "value_received, source_row, record_key", "rule_id = 'structure/damaged_id'")
    assert [f[:2] for f in found] == [(None, "3"), (None, "4")] or [f[:2] for f in found] == [(None, "4"), (None, "3")]
    assert found[0][2] != found[1][2] and "1E5" not in str(found)


def test_whose_id_cannot_be_read_is_not_looked_for_in_the_list_of_codes(tmp_path: Path) -> None:
    """One root cause is one question; who has no id at all, or one that the list lacks, is asked about as before."""
    tables = (
        "  lesions:\n    - {source: data, fields: {local_id: {from: id, matches: '[0-9]+'}, lesion_id: {from: les}}}\n"
    )
    rows: list[list[str | None]] = [["1E5", "A"], ["1", "B"], [None, "C"], ["7", "D"]]
    staged = stage(tmp_path, DATA, tables, {"data": (["id", "les"], rows)})
    found = staged.rows("findings", "rule_id, source_row", "rule_id similar to '.*(damaged|code).*'")
    assert sorted(found) == [
        ("structure/damaged_id", "2"),
        ("structure/no_study_code", "4"),
        ("structure/no_study_code", "5"),
    ]


def test_ids_are_kept_as_they_are_where_no_shape_is_declared(tmp_path: Path) -> None:
    texts: list[str | None] = ["007", "1E5", "aB", " A 1 ", "\ufeffX\u00a0"]
    values, findings = one_field(tmp_path, "lesions", "lesion_id: {from: raw}", texts)
    assert (values, findings) == (["007", "1E5", "aB", "A 1", "X"], [])


def test_where_the_sign_may_be_either_a_thousand_is_no_thousandth(tmp_path: Path) -> None:
    texts: list[str | None] = ["1.234", "1,234", "12.345", "0.125", "28,25", "28.5", "1.234,5", ">100", "<1"]
    values, findings = one_field(tmp_path, "measurements", "diameter_mm: {from: raw, unit: mm, decimal: either}", texts)
    assert values == [None, None, None, Decimal("0.125"), Decimal("28.25"), Decimal("28.5"), None, None, None]
    assert {f[1] for f in findings} == {"structure/unreadable_number"} and len(findings) == 6


def test_what_is_taken_of_a_dose_as_text(tmp_path: Path) -> None:
    tables = """\
  courses:
    - source: data
      fields:
        local_id: {from: id}
        course_id: {from: course}
        planned_dose_gy: {from: dose, type: dose_text, take: total}
        planned_fractions: {from: dose, type: dose_text, take: fractions}
"""
    rows: list[list[str | None]] = [["1", "A", "5x7,5 Gy"], ["1", "B", "3000 cGy/10 fr"], ["1", "C", "30/10"]]
    rows += [["1", "D", None]]
    staged = stage(tmp_path, DATA, tables, {"data": (["id", "course", "dose"], rows)})
    taken = [("A", Decimal("37.5"), 5), ("B", Decimal(30), 10), ("C", None, None), ("D", None, None)]
    assert staged.rows("courses", "course_id, planned_dose_gy, planned_fractions") == taken
    found = staged.rows("findings", "rule_id, field, value_received", "rule_id like '%dose'")
    assert found == [("structure/unreadable_dose", "dose", "30/10")] * 2


HEAD = """\
centre: x1
title: Invented
kind: oncology
language: en
formats: ["%Y-%m-%d"]
sources:
  log: {files: L.csv, read: {format: csv}}
  data:
    files: D.csv
    read: {format: csv}
    layouts:
      - {until: "2014-12-31", rename: {old mm: mm}}
      - {from: "2015-01-01", until: "2015-06-30"}
      - {from: "2015-07-01"}
tables:
  links:
    - {source: log, fields: {local_id: {from: id}, usubjid: {from: code}}}
  measurements:
    - source: data
      fields:
        local_id: {from: id, matches: "[0-9]+"}
        trdt: {from: day, partial: true}
        diameter_mm: {from: mm, unit: mm}
  lesions:
    - source: data
      fields:
        local_id: {from: id}
        anatomic_site: {from_checkbox: sites, map: {"1": bone}}
        measurable_fl: {from_checkbox: sites, box: "1", boxes: ["1", "2"]}
  courses:
    - source: data
      fields:
        local_id: {from: id}
        planned_dose_gy: {from: dose, type: dose_text, take: total}
"""


def load(tmp_path: Path, text: str) -> centres.Centre:
    (tmp_path / "x1").mkdir(exist_ok=True)
    (tmp_path / "x1" / "centre.yaml").write_text(text, encoding="utf-8")
    return centres.load(tmp_path / "x1")


def test_the_layout_in_force_is_that_of_the_extract_date(tmp_path: Path) -> None:
    centre = load(tmp_path, HEAD)
    old, new = centre.on("2014-12-31"), centre.on("2015-07-01")
    assert "old mm" in old.columns("data") and "mm" not in old.columns("data")
    assert "mm" in new.columns("data") and "old mm" not in new.columns("data")


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ('from: "2015-07-01"', 'from: "2015-08-01"', 14, "from must be 2015-07-01"),
        ('from: "2015-07-01"', 'from: "2015-06-01"', 14, "there is an overlap"),
        ('from: "2015-01-01", until', 'from: "2015-02-01", until', 13, "there is a gap"),
        ('from: "2015-07-01"', 'from: "2015-07-01", until: "2016-01-01"', 14, "the last has no until"),
        ('{until: "2014-12-31"', '{from: "2010-01-01", until: "2014-12-31"', 12, "the first has no from"),
        ('until: "2014-12-31"', 'until: "2014-13-31"', 12, "YYYY-MM-DD"),
        ('until: "2014-12-31"', 'untill: "2014-12-31"', 12, "did you mean 'until'?"),
        ("old mm: mm", "old mm: mmm", 12, "'mmm' is not a column that the mapping names; did you mean 'mm'?"),
        (
            "    read: {format: csv}\n    layouts",
            "    dictionary: dat\n    read: {format: csv}\n    layouts",
            10,
            "'data'?",
        ),
        ("take: total", "take: totl", 34, "did you mean 'total'?"),
        (", take: total", "", 34, "says what to take"),
        ("take: total", "take: fractions", 34, "not a column for fractions"),
        ('matches: "[0-9]+"', 'matches: "[0-9"', 21, "not a regular expression"),
        ("partial: true", "partial: yes", 22, "expected boolean"),
        ("day, partial: true", "day, partial: true, formats: ['%m/%Y']", 22, "lacks a day"),
        ("mm, unit: mm", "mm, unit: mm, partial: true", 23, "only a date can be partial"),
        ('sites, map: {"1": bone}', "sites", 28, "needs a map"),
        ('box: "1"', 'box: "3"', 29, "'3' is not among boxes"),
        ("from_checkbox: sites, box", "from_checkboxes: sites, box", 29, "needs from or"),
    ],
)
def test_a_mistake_in_a_verb_is_refused_with_its_line(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    assert old in HEAD
    with pytest.raises(MappingError) as refused:
        load(tmp_path, HEAD.replace(old, new, 1))
    assert f"x1/centre.yaml, line {line}" in str(refused.value)
    assert said in str(refused.value)
