"""Landed text becomes typed rows, and what cannot becomes a finding with its place; a case per verb."""

from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines import centres, staging, study
from pipelines.mapping import DICTIONARY
from pipelines.study import sql_literal as lit

HEAD = """\
centre: x1
title: Invented
kind: oncology
language: en
missing: [NI, "-99"]
formats: ["%d/%m/%Y", "%d/%m/%y"]
sources:
  log: {files: log.csv, read: {format: csv}}
"""
LINKS = """\
tables:
  links:
    - {source: log, fields: {local_id: {from: id}, usubjid: {from: code}}}
"""
LOG = {"log": (["id", "code"], [["1", "S-1"], ["2", "S-2"]])}
Landed = dict[str, tuple[list[str], list[list[str | None]]]]


class Staged:
    """The Parquet files of one staged delivery, read as tuples."""

    def __init__(self, folder: Path, counts: dict[str, int]) -> None:
        self.folder, self.counts = folder, counts

    def rows(self, table: str, columns: str, where: str = "true") -> list[tuple[Any, ...]]:
        with duckdb.connect() as con:
            return con.execute(f"select {columns} from '{self.folder}/{table}.parquet' where {where}").fetchall()


def land(folder: Path, landed: Landed) -> Path:
    """Write landed Parquet as `deliveries` does: all text, row 2 is the first below the header."""
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as con:
        received = []
        for name, (columns, rows) in landed.items():
            cells = ", ".join(f'r[{i}] as "{c}"' for i, c in enumerate(columns, 1))
            values = ", ".join(f"({n}, {lit(row)}::varchar[])" for n, row in enumerate(rows, 2))
            file = f"'d1' as delivery_id, 'sha-{name}' as file_sha256, '{name}.csv' as source_file"
            query = f"select {file}, n::varchar as source_row, {cells} from (values {values}) t(n, r) order by n"
            con.execute(f"copy ({query}) to '{folder}/{name}.parquet'")
            received.append(f"('{name}', '{name}.csv', 'sha-{name}', {len(rows)}::bigint, '3')")
        names = "t(source, source_file, file_sha256, n_rows, header)"
        con.execute(f"copy (from (values {', '.join(received)}) {names}) to '{folder}/_received.parquet'")
        note = ("structure/unknown_column", "log", "log.csv", "1", "Colour", None, "a column that the mapping names")
        names = "t(rule_id, source, source_file, source_row, field, value_received, expected)"
        query = f"from (values ({', '.join(lit(v) for v in note)})) {names}"
        con.execute(f"copy ({query}) to '{folder}/_notes.parquet'")
    return folder


def stage(tmp_path: Path, sources: str, tables: str, landed: Landed) -> Staged:
    folder = tmp_path / "x1"
    folder.mkdir(exist_ok=True)
    (folder / "centre.yaml").write_text(HEAD + sources + LINKS + tables, encoding="utf-8")
    out = tmp_path / "staged" / "x1"
    counts = staging.stage(centres.load(folder), land(tmp_path / "landed" / "d1", LOG | landed), out)
    return Staged(out, counts)


def one_field(
    tmp_path: Path, table: str, field: str, texts: list[str | None]
) -> tuple[list[Any], list[tuple[Any, ...]]]:
    """The staged values of one column `raw`, and the findings about it."""
    tables = f"  {table}:\n    - {{source: data, fields: {{local_id: {{from: id}}, {field}}}}}\n"
    rows: list[list[str | None]] = [["1", text] for text in texts]
    staged = stage(tmp_path, "  data: {files: d.csv, read: {format: csv}}\n", tables, {"data": (["id", "raw"], rows)})
    values = [row[0] for row in staged.rows(table, field.split(":")[0])]
    columns = "value_received, rule_id, field, source_file, source_row"
    return values, staged.rows("findings", columns, f"staged_field = '{field.split(':')[0]}'")


@pytest.mark.parametrize(
    ("field", "texts", "values"),
    [
        (
            "diameter_mm: {from: raw, unit: mm}",
            ["28.5", " 28 ", "\u200b34\u00a0", None, "NI"],
            ["28.5", "28", "34", None, None],
        ),
        ("diameter_mm: {from: raw, unit: mm, decimal: ','}", ["28,5", "+3"], ["28.5", "3"]),
        ("diameter_mm: {from: raw, unit: mm, decimal: either}", ["28,5", "28.5"], ["28.5", "28.5"]),
        ("diameter_mm: {from: raw, unit: cm}", ["2.85", "0.1235000", "14"], ["28.5", "1.235", "140"]),
        ("diameter_mm: {from: raw, unit: mm, times: '0.1'}", ["9.8"], ["0.98"]),
    ],
)
def test_numbers_are_exact(tmp_path: Path, field: str, texts: list[str | None], values: list[str | None]) -> None:
    staged, findings = one_field(tmp_path, "measurements", field, texts)
    assert staged == [Decimal(v) if v else None for v in values]
    assert findings == []


def test_thousands_are_no_whole_number_with_zeros(tmp_path: Path) -> None:
    """`1.000` is one where the point is the decimal sign, else perhaps a thousand: asked."""
    texts: list[str | None] = ["1.000", "1,000", "2.0", "2,00", "3", "1.0000"]
    for decimal, values in (("either", [None, None]), (".", [1, None]), (",", [None, 1])):
        staged, findings = one_field(tmp_path, "measurements", f"visitnum: {{from: raw, decimal: '{decimal}'}}", texts)
        assert staged == [*values, 2, 2, 3, 1]
        asked = [(text, "structure/unreadable_number") for text, v in zip(texts, values, strict=False) if v is None]
        assert sorted(f[:2] for f in findings) == sorted(asked)


def test_dates_follow_the_declared_formats(tmp_path: Path) -> None:
    texts: list[str | None] = ["28/02/2014", "28/02/14", "03/2014", "31/02/2014", "2014-02-28", None]
    values, findings = one_field(tmp_path, "measurements", "trdt: {from: raw}", texts)
    assert values == [date(2014, 2, 28), date(2014, 2, 28), None, None, None, None]
    assert sorted(f[0] for f in findings) == ["03/2014", "2014-02-28", "31/02/2014"]
    four = "trdt: {from: raw, formats: ['%d/%m/%Y']}"
    assert one_field(tmp_path, "measurements", four, ["28/02/14"])[0] == [None]


def test_a_day_number_is_a_date_where_the_mapping_says_so(tmp_path: Path) -> None:
    texts: list[str | None] = ["41698", "20000", "73050", "73051", "19999", "2014", "41698.5", "416980", "28/02/14"]
    field = "trdt: {from: raw, formats: [serial, '%d/%m/%y']}"
    values, findings = one_field(tmp_path, "measurements", field, texts)
    assert values[:3] == [date(2014, 2, 28), date(1954, 10, 3), date(2099, 12, 31)]
    assert values[3:] == [None] * 5 + [date(2014, 2, 28)]
    assert sorted(f[0] for f in findings) == ["19999", "2014", "41698.5", "416980", "73051"]
    assert one_field(tmp_path, "measurements", "trdt: {from: raw}", ["41698"])[0] == [None]


@pytest.mark.parametrize(
    ("table", "field", "text", "rule"),
    [
        ("measurements", "diameter_mm: {from: raw, unit: mm}", "1.234,5", "unreadable_number"),
        ("measurements", "diameter_mm: {from: raw, unit: mm}", ">100", "unreadable_number"),
        ("measurements", "diameter_mm: {from: raw, unit: mm}", "1e2", "unreadable_number"),
        ("measurements", "diameter_mm: {from: raw, unit: mm}", "12345678", "unreadable_number"),
        ("measurements", "visitnum: {from: raw}", "2.5", "unreadable_number"),
        ("measurements", "trdt: {from: raw}", "55:02", "unreadable_date"),
        ("lesions", "measurable_fl: {from: raw, yes: ['1'], no: ['0']}", "2", "unreadable_flag"),
        ("measurements", "method: {from: raw, map: {CT: ct}}", "Ct", "unmapped_code"),
        ("measurements", "method: {from: raw}", "CT", "unmapped_code"),
    ],
)
def test_what_cannot_be_used_is_null_and_a_finding(
    tmp_path: Path, table: str, field: str, text: str, rule: str
) -> None:
    values, findings = one_field(tmp_path, table, field, [text])
    assert values == [None]
    assert findings == [(text, f"structure/{rule}", "raw", "data.csv", "2")]


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("diameter_mm: {from: raw, unit: mm}", "3200000", "a number below 1000000"),
        ("diameter_mm: {from: raw, unit: cm}", "320000", "a number below 100000"),
        ("diameter_mm: {from: raw, unit: mm}", "3200000 mm", "a number such as 12.5"),
        ("diameter_mm: {from: raw, unit: mm}", "12.9999", "a number with at most 3 decimals"),
        ("diameter_mm: {from: raw, unit: cm}", "1.49999", "a number with at most 4 decimals"),
        (
            'diameter_mm: {from: raw, unit: mm, times: "0.5"}',
            "12.345",
            "a number with at most 3 decimals, once multiplied by 1/2",
        ),
        ("diameter_mm: {from: raw, unit: mm, decimal: either}", "14,9999", "a number with at most 3 decimals"),
        ("visitnum: {from: raw}", "3000000000", "a number below 2147483648"),
        ("visitnum: {from: raw}", "2.5", "a whole number"),
    ],
)
def test_a_number_that_is_only_too_large_or_too_long_is_told_so(
    tmp_path: Path, field: str, text: str, expected: str
) -> None:
    one_field(tmp_path, "measurements", field, [text])
    (findings,) = tmp_path.rglob("findings.parquet")
    with duckdb.connect() as con:
        query = f"select expected from '{findings}' where rule_id = 'structure/unreadable_number'"
        assert con.execute(query).fetchall() == [(expected,)]


@pytest.mark.parametrize(
    ("field", "texts", "expected"),
    [
        ("diameter_mm: {from: raw, unit: mm}", ["12.5 mm", "1.25 cm", "12.5"], [Decimal("12.5")] * 3),
        ("diameter_mm: {from: raw, unit: cm}", ["12.5 mm", "1.25"], [Decimal("12.5")] * 2),
        ("diameter_mm: {from: raw, unit: mm}", ["12.5 in", "12.5 CM", "12.5mm", "mm", " mm"], [None] * 5),
        ("visitnum: {from: raw, unit: weeks}", ["8 weeks", "8", "8 days", "8 cm"], [8, 8, None, None]),
        ("visitnum: {from: raw}", ["8 weeks", "8 mm"], [None, None]),
    ],
)
def test_a_unit_behind_a_number_holds_and_one_that_is_not_known_is_asked(
    tmp_path: Path, field: str, texts: list[str | None], expected: list[Decimal | int | None]
) -> None:
    values, findings = one_field(tmp_path, "measurements", field, texts)
    assert values == expected
    assert sorted(f[0] for f in findings) == sorted(
        str(t).strip() for t, v in zip(texts, expected, strict=True) if v is None
    )


def test_a_number_for_missing_is_missing_with_its_unit_too(tmp_path: Path) -> None:
    texts: list[str | None] = ["-99", "-99 mm", "-99 cm", "-99 in"]
    values, findings = one_field(tmp_path, "measurements", "diameter_mm: {from: raw, unit: mm}", texts)
    assert values == [None] * 4 and [f[0] for f in findings] == ["-99 in"]


@pytest.mark.parametrize(
    ("texts", "how", "values"),
    [
        (["12.9999", "14.9999", "12.34500", "12.299999999999999", "0.30000000000000004"], "unit: mm",
            [None, None, "12.345", "12.3", "0.3"]),
        (["1.2299999999999998", "1.23456", "1.2345"], "unit: cm", ["12.3", None, "12.345"]),
        (["0.000012345678901234567", "14.9999999999999", "-12.299999999999999"], "unit: mm", [None, None, "-12.3"]),
        (["12,299999999999999", "1,2345000", "1,2345", "1,234"], "unit: mm, decimal: either",
            ["12.3", None, None, None]),
        (["24.69", "24.691"], 'unit: mm, times: "0.5"', ["12.345", None]),
    ],
)  # fmt: skip
def test_a_number_is_staged_as_it_stands_or_asked(
    tmp_path: Path, texts: list[str | None], how: str, values: list[str | None]
) -> None:
    staged, findings = one_field(tmp_path, "measurements", f"diameter_mm: {{from: raw, {how}}}", texts)
    assert staged == [v if v is None else Decimal(v) for v in values]
    assert len(findings) == values.count(None)


def test_a_number_with_its_unit_or_in_a_rollup_is_not_rounded_either(tmp_path: Path) -> None:
    tables = """\
  courses:
    - source: data
      fields: {local_id: {from: id}, course_id: {from: course}, planned_dose_gy: {from: dose, unit_from: unit}}
      rollup: {by: [local_id, course_id], max: [planned_dose_gy]}
"""
    rows: list[list[str | None]] = [
        ["1", "A", "3500.0549", "cGy"],
        ["1", "B", "35.005", "Gy"],
        ["1", "C", "3500.5", "cGy"],
        ["1", "D", "3500.5 cGy", "cGy"],
        ["1", "E", "35 Gy", "cGy"],
    ]
    data = {"data": (["id", "course", "dose", "unit"], rows)}
    staged = stage(tmp_path, "  data: {files: d.csv, read: {format: csv}}\n", tables, data)
    assert staged.rows("courses", "planned_dose_gy") == [
        (dose and Decimal(dose),) for dose in (None, "35.005", "35.005", "35.005", None)
    ]
    found = staged.rows("findings", "rule_id, value_received, expected", "staged_field = 'planned_dose_gy'")
    assert found == [
        ("structure/unreadable_number", "3500.0549", "a number with at most 1 decimal"),
        ("structure/unreadable_number", "35 Gy", "a number such as 12.5, in Gy or cGy (unit)"),
    ]


def test_of_a_product_the_column_that_lacks_its_number_is_named(tmp_path: Path) -> None:
    tables = """\
  fractions:
    - source: data
      fields: {local_id: {from: id}, dose_gy: {product: [dose, given], divide_by: set, unit: Gy}}
"""
    rows: list[list[str | None]] = [["1", None, "60", "60"], ["1", "x", "60", "60"], ["1", "2", "60", "60"]]
    staged = stage(
        tmp_path,
        "  data: {files: d.csv, read: {format: csv}}\n",
        tables,
        {"data": (["id", "dose", "given", "set"], rows)},
    )
    found = staged.rows("findings", "value_received, expected", "staged_field = 'dose_gy'")
    assert found == [("60 | 60", "a number in dose"), ("x | 60 | 60", "a number such as 12.5")]


def told_expected(tmp_path: Path, field: str, text: str) -> list[str]:
    """What is said to be expected of a text that cannot be used."""
    tables = f"  lesions:\n    - {{source: data, fields: {{local_id: {{from: id}}, {field}}}}}\n"
    sources = "  data: {files: d.csv, read: {format: csv}}\n"
    staged = stage(tmp_path, sources, tables, {"data": (["id", "raw"], [["1", text]])})
    return [row[0] for row in staged.rows("findings", "expected", "field = 'raw'")]


@pytest.mark.parametrize(("formats", "text", "expected"), [
    ('"%d/%m/%Y", serial', "55:02", "a date as DD/MM/YYYY"),  # nobody enters a spreadsheet's day number
    ('"%d/%m/%Y", "%d/%m/%y"', "31/02/14", "a date that exists, as DD/MM/YYYY or DD/MM/YY"),
    ('"%Y-%m-%d"', "1900-01-01", "a date after 1900-02-28, as YYYY-MM-DD"),
    ('"%d %b %Y"', "31 Feb 2014", "a date that exists, as DD MON YYYY"),
])  # fmt: skip
def test_a_day_that_cannot_be_is_told_from_one_that_cannot_be_read(
    tmp_path: Path, formats: str, text: str, expected: str
) -> None:
    assert told_expected(tmp_path, f"tudt: {{from: raw, formats: [{formats}]}}", text) == [expected]


@pytest.mark.parametrize(("shape", "words"), [
    (r"\d+", "digits alone"), (r"\d{7,}", "7 digits or more"), ("[0-9]{4}", "4 digits"), (r"\d{4,6}", "4 to 6 digits"),
    ("[A-Z]{2}[0-9]{4}", "the agreed form"),
])  # fmt: skip
def test_the_shape_of_an_identifier_is_said_in_words(tmp_path: Path, shape: str, words: str) -> None:
    told = told_expected(tmp_path, f"lesion_id: {{from: raw, matches: '{shape}'}}", "1E5")
    assert told == [f"an identifier of {words}"]


def test_a_text_that_is_known_to_mean_nothing_is_no_finding(tmp_path: Path) -> None:
    values, findings = one_field(
        tmp_path, "measurements", "method: {from: raw, map: {CT: ct, boh: null}}", ["boh", "CT"]
    )
    assert (values, findings) == ([None, "ct"], [])


def test_a_unit_is_never_assumed(tmp_path: Path) -> None:
    tables = """\
  courses:
    - source: data
      fields: {local_id: {from: id}, course_id: {from: course}, planned_dose_gy: {from: dose, unit_from: unit}}
"""
    rows: list[list[str | None]] = [
        ["1", "A", "3000", "cGy"], ["1", "B", "30", "Gy"], ["1", "C", "30", None], ["1", "D", "30", "rad"],
        ["1", "E", None, None],
    ]  # fmt: skip
    data = {"data": (["id", "course", "dose", "unit"], rows)}
    staged = stage(tmp_path, "  data: {files: d.csv, read: {format: csv}}\n", tables, data)
    doses = [Decimal(30), Decimal(30), None, None, None]
    assert staged.rows("courses", "course_id, planned_dose_gy") == list(zip("ABCDE", doses, strict=True))
    found = staged.rows("findings", "rule_id, record_key", "staged_field = 'planned_dose_gy'")
    assert found == [("structure/missing_unit", "S-1|x1|C"), ("structure/missing_unit", "S-1|x1|D")]


def test_redcap_codes_and_labels_read_the_same(tmp_path: Path) -> None:
    sources = """\
  data: {files: d.csv, read: {format: csv}}
  dictionary: {files: x.csv, read: {format: csv}}
"""
    tables = """\
  lesions:
    - source: data
      fields:
        local_id: {from: id}
        lesion_id: {from: les}
        anatomic_site: {from: site, choices: dictionary, map: {Bone: bone, "Pleura, no effusion": pleura}}
"""
    rows: list[list[str | None]] = [
        ["1", "L1", "2"], ["1", "L2", "7"], ["1", "L3", "Pleura, no effusion"], ["1", "L4", "3"], ["1", "L5", "9"],
    ]  # fmt: skip
    landed: Landed = {
        "data": (["id", "les", "site"], rows),
        "dictionary": (
            list(DICTIONARY),
            [["site", "2,Bone | 3, Spleen | 7, Pleura, no effusion"], ["id", None]],
        ),
    }
    staged = stage(tmp_path, sources, tables, landed)
    assert [r[0] for r in staged.rows("lesions", "anatomic_site")] == ["bone", "pleura", "pleura", None, None]
    assert staged.rows("findings", "value_received", "staged_field = 'anatomic_site'") == [
        ("3",),
        ("9",),
    ]


def test_a_code_with_two_labels_has_none(tmp_path: Path) -> None:
    """Two dictionaries in one delivery, or a code listed twice: what it means is asked and never chosen."""
    sources = """\
  data: {files: d.csv, read: {format: csv}}
  dictionary: {files: x*.csv, read: {format: csv}}
"""
    tables = """\
  subjects:
    - source: data
      fields: {local_id: {from: id}, sex: {from: sex, choices: dictionary, map: {Male: M, Female: F}}}
"""
    rows: list[list[str | None]] = [["1", "1"], ["2", "2"], ["3", "Female"], ["4", "3"]]
    dictionary: list[list[str | None]] = [
        ["sex", "1, Male | 2, Female | 3, Male | 3, Male"],
        ["sex", "1, Female|2,Female"],
        ["other", "1, A | 1, B"],
    ]
    landed: Landed = {"data": (["id", "sex"], rows), "dictionary": (list(DICTIONARY), dictionary)}
    staged = stage(tmp_path, sources, tables, landed)
    assert staged.rows("subjects", "sex") == [(None,), ("F",), ("F",), ("M",)]
    assert staged.rows("findings", "value_received", "rule_id = 'structure/unmapped_code'") == [("1",)]
    asked = "source_file, source_row, field, value_received, expected"
    assert staged.rows("findings", asked, "rule_id = 'structure/two_labels'") == [
        ("dictionary.csv", "3", DICTIONARY[1], "sex 1: Male | Female", "one label for each code")
    ]


def test_rows_that_are_no_records_are_dropped_with_a_reason(tmp_path: Path) -> None:
    sources = """\
  data:
    files: d.csv
    read: {format: csv}
    stop_at: {id: {matches: ^Compiled}}
    drop_rows: [{where: {id: {in: [Total]}}, reason: total}]
    fill_down: [id]
    current_row: {by: [id, les], take: {version: max}}
"""
    tables = """\
  lesions:
    - source: data
      where: {kind: {not_in: [draft]}}
      fields: {local_id: {from: id}, lesion_id: {from: les}, lesion_role: {from: role}}
"""
    rows: list[list[str | None]] = [
        ["1", "L1", "9", "target", None],
        [None, "L1", "10", "non_target", None],  # 10 is above 9, as a number
        ["Total", None, None, None, None],
        [None, "L2", "1", "target", None],  # filled from above the total
        ["2", "L1", "1", "target", "draft"],
        ["Compiled by", None, None, None, None],
        ["2", "L9", "1", "target", None],
    ]
    staged = stage(tmp_path, sources, tables, {"data": (["id", "les", "version", "role", "kind"], rows)})
    assert staged.rows("lesions", "local_id, lesion_id, lesion_role, source_row") == [
        ("1", "L1", "non_target", "3"),
        ("1", "L2", "target", "5"),
    ]
    dropped = [("2", "superseded"), ("4", "total"), ("7", "footer"), ("8", "footer")]
    assert staged.rows("dropped", "source_row, reason") == dropped


def test_records_below_the_footer_are_asked(tmp_path: Path) -> None:
    """What is written below the last row is none; a row with all of its key may be one, and is no silent footer."""
    sources = """\
  data:
    files: d.csv
    read: {format: csv}
    key: [id, les]
    stop_at: {id: {matches: ^Compiled}}
    drop_rows: [{where: {id: {in: [Total]}}, reason: total}]
"""
    tables = "  lesions:\n    - {source: data, fields: {local_id: {from: id}, lesion_id: {from: les}}}\n"
    rows: list[list[str | None]] = [
        ["1", "L1"], ["Compiled by", "me"], ["in", None], ["1", "L2"], ["Total", "2"], ["2", "L1"],
    ]  # fmt: skip
    staged = stage(tmp_path, sources, tables, {"data": (["id", "les"], rows)})
    assert staged.rows("lesions", "lesion_id") == [("L1",)]
    asked = "source_row, table_name, field, value_received, expected"
    expected = "no record below the line that ends the table (there are: 2)"
    assert staged.rows("findings", asked, "rule_id = 'structure/row_below_footer'") == [
        ("5", "data", "id, les", None, expected)
    ]


def test_rows_of_no_part_are_asked_once_a_kind(tmp_path: Path) -> None:
    """A form by another name reaches no table; what is dropped on purpose is no question."""
    sources = """\
  data:
    files: d.csv
    read: {format: csv}
    drop_rows: [{where: {form: {in: [note]}}, reason: note}]
"""
    tables = """\
  lesions:
    - source: data
      where: {form: {in: [lesions]}}
      fields: {local_id: {from: id}, lesion_id: {from: les}}
  responses:
    - source: data
      where: {form: {in: [visit]}, day: {blank: false}}
      fields: {local_id: {from: id}, rsdt: {from: day}}
"""
    rows: list[list[str | None]] = [
        ["1", "lesions", "L1", None],
        ["1", "Lesions", "L2", None],
        ["2", "Lesions", "L3", None],
        ["2", "visit", None, "NI"],
        ["2", "visit", None, "28/02/2014"],
        ["2", "Visits", None, "28/02/2014"],
        ["2", "Visits", None, "28/03/2014"],
        ["2", "note", None, None],
    ]
    staged = stage(tmp_path, sources, tables, {"data": (["id", "form", "les", "day"], rows)})
    asked = "source_file, source_row, table_name, field, value_received, expected, local_id"
    of_kind = "a kind of row that is agreed (of this kind there are: {})"
    assert sorted(staged.rows("findings", asked, "rule_id = 'structure/unused_row'")) == [
        ("data.csv", "3", "data", "form, day", "form: Lesions, day: -", of_kind.format(2), None),
        ("data.csv", "5", "data", "form, day", "form: visit, day: -", of_kind.format(1), None),
        ("data.csv", "7", "data", "form, day", "form: Visits, day: …", of_kind.format(2), None),
    ]
    keys = staged.rows("findings", "record_key", "rule_id = 'structure/unused_row'")
    assert len(set(keys)) == 3 and not any("isit" in key or "esion" in key for (key,) in keys)


def test_a_part_that_takes_every_row_leaves_none_unused(tmp_path: Path) -> None:
    sources = "  data: {files: d.csv, read: {format: csv}}\n"
    tables = """\
  lesions:
    - {source: data, where: {form: {in: [lesions]}}, fields: {local_id: {from: id}, lesion_id: {from: les}}}
  subjects:
    - {source: data, fields: {local_id: {from: id}, sex: {from: sex, map: {m: M}}}}
"""
    rows: list[list[str | None]] = [["1", "lesions", "L1", None], ["1", "Lesions", "L2", "m"]]
    staged = stage(tmp_path, sources, tables, {"data": (["id", "form", "les", "sex"], rows)})
    assert staged.rows("findings", "source_row", "rule_id = 'structure/unused_row'") == []


@pytest.mark.parametrize(
    ("where", "unused"),
    [("", ("2", "response: -")), ("where: {day: {blank: false}}, ", ("4", "response: -, day: -"))],
)
def test_rows_that_a_lookup_asks_for_are_used(tmp_path: Path, where: str, unused: tuple[str, str]) -> None:
    """Its condition says so; without one it says nothing of kinds of rows that nobody knows."""
    sources = "  data: {files: d.csv, read: {format: csv}}\n  visits: {files: v.csv, read: {format: csv}}\n"
    tables = f"""\
  measurements:
    - source: data
      lookup: {{source: visits, {where}on: {{id: id, visit: visit}}, take: [day]}}
      fields: {{local_id: {{from: id}}, lesion_id: {{from: les}}, visitnum: {{from: visit}}, trdt: {{from: day}}}}
  responses:
    - {{source: visits, where: {{response: {{blank: false}}}}, fields: {{local_id: {{from: id}}, rsdt: {{from: day}}}}}}
"""
    data: list[list[str | None]] = [["1", "L1", "0"], ["1", "L1", "1"]]
    visits: list[list[str | None]] = [
        ["1", "0", "28/02/2014", None],
        ["1", "1", "28/04/2014", "PR"],
        ["1", "2", None, None],
    ]
    landed = {"data": (["id", "les", "visit"], data), "visits": (["id", "visit", "day", "response"], visits)}
    staged = stage(tmp_path, sources, tables, landed)
    assert staged.rows("measurements", "visitnum, trdt::varchar") == [(0, "2014-02-28"), (1, "2014-04-28")]
    assert staged.rows("findings", "source_row, value_received", "rule_id = 'structure/unused_row'") == [unused]


def test_current_row_can_be_a_value(tmp_path: Path) -> None:
    sources = "  data: {files: d.csv, read: {format: csv}, current_row: {by: [id], take: {version: '0'}}}\n"
    tables = "  lesions:\n    - {source: data, fields: {local_id: {from: id}, lesion_id: {from: les}}}\n"
    rows: list[list[str | None]] = [["1", "L1", "32000"], ["1", "L1", "0"]]
    staged = stage(tmp_path, sources, tables, {"data": (["id", "les", "version"], rows)})
    assert staged.rows("lesions", "source_row") == [("3",)]


@pytest.mark.parametrize(
    ("whole", "shown"),
    [("id", None), ("file", "F1")],  # the centre's own id stays in its own files
)
def test_of_two_contents_the_identifier_is_told_unless_it_is_the_patients(
    tmp_path: Path, whole: str, shown: str | None
) -> None:
    sources = f"  data: {{files: d.csv, read: {{format: csv}}, one_content: [{whole}, les]}}\n"
    fields = "local_id: {from: id}, lesion_id: {from: les}, lesion_role: {from: role}"
    tables = f"  lesions:\n    - {{source: data, fields: {{{fields}}}}}\n"
    rows: list[list[str | None]] = [["1", "F1", "L1", r] for r in ("target", "non_target", "new")]
    staged = stage(tmp_path, sources, tables, {"data": (["id", "file", "les", "role"], rows)})
    told = f"one content under one {whole}, here and in rows 3, 4"
    found = staged.rows("findings", "source_row, value_received, expected", "rule_id = 'structure/two_contents'")
    assert found == [("2", shown, told)]


def test_blocks_of_columns_become_rows(tmp_path: Path) -> None:
    tables = """\
  measurements:
    - source: data
      unpivot: {blocks: '(?:Baseline|Visit (?P<visit>[0-9]+))\\|(?P<field>day|mm)', default: {visit: "0"}}
      where: {visit: {not_in: ["9"]}}
      fields:
        local_id: {from: id}
        lesion_id: {from: les}
        visitnum: {from: visit}
        trdt: {from: day}
        diameter_mm: {from: mm, unit: mm}
"""
    columns = ["id", "les", "Baseline|day", "Baseline|mm", "Visit 1|day", "Visit 1|mm", "Visit 9|mm"]
    rows: list[list[str | None]] = [
        ["1", "L1", "01/02/2014", "20", "01/04/2014", "x", "5"],
        ["1", "L2", "01/02/2014", None, None, None, None],
    ]
    staged = stage(tmp_path, "  data: {files: d.csv, read: {format: csv}}\n", tables, {"data": (columns, rows)})
    assert staged.rows("measurements", "lesion_id, visitnum, trdt, diameter_mm") == [
        ("L1", 0, date(2014, 2, 1), Decimal(20)),
        ("L1", 1, date(2014, 4, 1), None),
        ("L2", 0, date(2014, 2, 1), None),
    ]
    found = staged.rows("findings", "field, record_key, usubjid", "staged_field = 'diameter_mm'")
    assert found == [("Visit 1|mm", "S-1|L1|2014-04-01", "S-1")]


def test_rows_of_blocks_keep_the_order_of_the_file_also_without_a_date(tmp_path: Path) -> None:
    tables = """\
  measurements:
    - source: data
      unpivot: {blocks: 'Visit (?P<visit>[0-9]+)\\|(?P<field>day|mm)'}
      fields:
        local_id: {from: id}
        lesion_id: {from: _t3}
        visitnum: {from: visit}
        trdt: {from: day}
        diameter_mm: {from: mm, unit: mm}
"""
    columns = ["id", "_t3", "Visit 0|day", "Visit 0|mm", "Visit 1|day", "Visit 1|mm"]
    rows: list[list[str | None]] = [["1", f"L{n}", "01/02/2014", "20", None, "21"] for n in range(3)]
    staged = stage(tmp_path, "  data: {files: d.csv, read: {format: csv}}\n", tables, {"data": (columns, rows)})
    places = [place for (place,) in staged.rows("measurements", "_place")]
    assert places == sorted(places) and len(places) == 6


def test_columns_become_rows_by_name(tmp_path: Path) -> None:
    tables = """\
  criteria:
    - source: data
      unpivot: {columns: [first, other], name: question, value: answer}
      fields:
        local_id: {from: id}
        ietestcd: {from: question, map: {first: first_line, other: other_cancer}}
        ieorres: {from: answer, yes: ["1"], no: ["0"]}
"""
    rows: list[list[str | None]] = [["1", "1", "7"], ["2", None, "0"]]
    staged = stage(
        tmp_path, "  data: {files: d.csv, read: {format: csv}}\n", tables, {"data": (["id", "first", "other"], rows)}
    )
    assert staged.rows("criteria", "local_id, ietestcd, ieorres") == [
        ("1", "first_line", "Y"),
        ("1", "other_cancer", None),
        ("2", "other_cancer", "N"),
    ]
    found = staged.rows("findings", "field, record_key", "staged_field = 'ieorres'")
    assert found == [("other", "S-1|other_cancer")]


def test_a_sum_beyond_its_column_is_asked_and_never_a_silent_null(tmp_path: Path) -> None:
    tables = """\
  courses:
    - source: data
      fields:
        local_id: {from: id}
        course_id: {from: course}
        delivered_dose_gy: {from: dose, unit: Gy}
      rollup: {by: [local_id, course_id], sum: [delivered_dose_gy]}
"""
    rows: list[list[str | None]] = [
        ["1", "C1", "600000"], ["1", "C1", "400000"], ["1", "C2", "7.5"], ["1", "C2", "7.5"], ["1", "C3", None],
    ]  # fmt: skip
    source = "  data: {files: d.csv, read: {format: csv}}\n"
    staged = stage(tmp_path, source, tables, {"data": (["id", "course", "dose"], rows)})
    assert staged.rows("courses", "course_id, delivered_dose_gy") == [("C1", None), ("C2", Decimal(15)), ("C3", None)]
    told = "field, staged_field, source_row, value_received, expected, record_key"
    assert staged.rows("findings", told, "rule_id = 'structure/unreadable_number'") == [
        ("dose", "delivered_dose_gy", "2", "1000000", "a number below 1000000", "S-1|x1|C1")
    ]


def test_delivered_dose_is_counted_once_per_fraction_and_exactly(tmp_path: Path) -> None:
    sources = """\
  beams: {files: b.csv, read: {format: csv}}
  plans: {files: p.csv, read: {format: csv}}
"""
    tables = """\
  courses:
    - source: beams
      lookup: {source: plans, on: {plan: name}, take: {how: technique}}
      fields:
        local_id: {from: id}
        course_id: {from: [course, plan], join: "/"}
        technique: {from: how}
        _fraction: {from: fraction, type: int}
        delivered_dose_gy: {product: [dose, delivered], divide_by: specified, unit: cGy}
        rtstdt: {first_of: [corrected, day]}
        rtendt: {first_of: [corrected, day]}
      rollup:
        - {by: [local_id, course_id, _fraction, rtstdt, rtendt], sum: [delivered_dose_gy], first: [technique]}
        - by: [local_id, course_id]
          sum: [delivered_dose_gy]
          min: [rtstdt]
          max: [rtendt]
          count: [delivered_fractions]
          first: [technique]
"""
    # three thirds of a dose make it whole: 200 * 1 / 3, three beams, two fractions
    rows: list[list[str | None]] = [
        ["1", "C1", "P", str(n), "200", "1", "3", f"0{n}/03/2014", "09/03/2014" if n == 2 else None]
        for n in (1, 2)
        for _ in range(3)
    ]
    rows.append(["2", "C1", "P", "1", "200", "1", "0", "01/03/2014", None])
    rows.append(["2", None, "P", "1", "200", "1", "1", "01/03/2014", None])
    beams = (["id", "course", "plan", "fraction", "dose", "delivered", "specified", "day", "corrected"], rows)
    plans: tuple[list[str], list[list[str | None]]] = (["name", "technique"], [["P", "imrt"], ["P", "imrt"]])
    staged = stage(tmp_path, sources, tables, {"beams": beams, "plans": plans})
    columns = "local_id, course_id, technique, delivered_dose_gy, delivered_fractions, rtstdt, rtendt"
    day = date(2014, 3, 1)
    assert sorted(staged.rows("courses", columns), key=str) == [
        ("1", "C1/P", "imrt", Decimal(4), 2, day, date(2014, 3, 9)),
        ("2", "C1/P", "imrt", None, 1, day, day),
        ("2", None, "imrt", Decimal(2), 1, day, day),
    ]
    found = staged.rows("findings", "field, value_received", "rule_id like '%number'")
    assert found == [("dose, delivered, specified", "200 | 1 | 0")]


def test_a_record_sent_twice_and_one_without_study_code(tmp_path: Path) -> None:
    tables = """\
  lesions:
    - {source: data, fields: {local_id: {from: id}, lesion_id: {from: les}, tudt: {from: day}}}
"""
    rows: list[list[str | None]] = [
        ["1", "L1", "01/02/2014"], ["1", "L1", "02/02/2014"], ["7", "L1", "01/02/2014"], ["7", "L2", "01/02/2014"],
        ["1", None, None], ["1", None, None],
    ]  # fmt: skip
    staged = stage(
        tmp_path, "  data: {files: d.csv, read: {format: csv}}\n", tables, {"data": (["id", "les", "day"], rows)}
    )
    assert staged.rows("lesions", "local_id, usubjid, lesion_id, source_row") == [
        ("1", "S-1", "L1", "2"),
        ("7", None, "L1", "4"),
        ("7", None, "L2", "5"),
        ("1", "S-1", None, "6"),  # without a key nothing says that it is the same record
        ("1", "S-1", None, "7"),
    ]
    columns = "rule_id, local_id, usubjid, source_row, record_key"
    code, twice = sorted(staged.rows("findings", columns, "table_name = 'lesions'"))[::-1]
    assert twice == ("structure/duplicate_record", "1", "S-1", "3", "S-1|L1")
    told = staged.rows("findings", "field, value_received, expected", "rule_id like '%duplicate_record'")
    assert told == [("les", "L1", "one record per patient, les; we kept that of data.csv, row 2")]
    assert code[:4] == ("structure/no_study_code", "7", None, "4")
    assert code[4] != "7" and len(code[4]) == 12


def test_what_tells_records_apart_is_said_in_the_centres_words(tmp_path: Path) -> None:
    """Without a key beside the patient nothing is: the centre's own id stays in its own files."""
    tables = """\
  subjects:
    - {source: data, fields: {local_id: {from: id}}}
  labs:
    - source: data
      fields: {local_id: {from: id}, lbtestcd: {from: test, map: {Hb: HGB}}, lbdt: {from: day}}
"""
    rows: list[list[str | None]] = [["1", "Hb", "01/02/2014"], ["1", "Hb", "01/02/2014"]]
    sources = "  data: {files: d.csv, read: {format: csv}}\n"
    staged = stage(tmp_path, sources, tables, {"data": (["id", "test", "day"], rows)})
    told = staged.rows("findings", "table_name, value_received, expected", "rule_id like '%duplicate_record'")
    assert sorted(told) == [
        ("labs", "haemoglobin, 2014-02-01", "one record per patient, test, day; we kept that of data.csv, row 2"),
        ("subjects", None, "one record per patient; we kept that of data.csv, row 2"),
    ]


def test_a_study_code_is_the_same_in_small_letters_and_between_invisible_ones(tmp_path: Path) -> None:
    tables = "  subjects:\n    - {source: log, fields: {local_id: {from: id}}}\n"
    codes = [["1", "\u00a0rcc-me1-001-m\u200b"], ["2", "RCC-ME1 -002-k"]]
    staged = stage(tmp_path, "", tables, {"log": (["id", "code"], codes)})
    expected = [("RCC-ME1-001-M",), ("RCC-ME1 -002-K",)]
    assert staged.rows("links", "usubjid") == expected
    assert staged.rows("subjects", "usubjid") == expected


def test_every_staged_table_is_written_with_its_declared_types(tmp_path: Path) -> None:
    staged = stage(tmp_path, "", "", {})
    for table in study.staged_tables():
        declared = {name: c.sql_type.upper() for name, c in study.staged_columns(table).items()}
        with duckdb.connect() as con:
            columns = con.execute(f"describe from '{staged.folder}/{table}.parquet'").fetchall()
        assert {r[0]: r[1] for r in columns if not r[0].startswith("_")} == declared
    assert staged.counts["links"] == 2 and sum(staged.counts.values()) == 2
    provenance = "centre, delivery_id, file_sha256, source_file, source_row, local_id, usubjid"
    assert staged.rows("links", provenance)[1] == ("x1", "d1", "sha-log", "log.csv", "3", "2", "S-2")
    assert staged.rows("received", "*") == [("x1", "d1", "log", "log.csv", "sha-log", 2)]
    notes = staged.rows("findings", "rule_id, field, source_row, centre, delivery_id")
    assert notes == [("structure/unknown_column", "Colour", "1", "x1", "d1")]


def test_a_column_that_a_table_has_lost_is_a_finding(tmp_path: Path) -> None:
    tables = "  lesions:\n    - {source: data, fields: {local_id: {from: id}, lesion_id: {from: les}}}\n"
    staged = stage(tmp_path, "  data: {files: d.csv, read: {format: csv}}\n", tables, {"data": (["id"], [["1"]])})
    found = staged.rows("findings", "source_file, source_row, field", "rule_id = 'structure/missing_column'")
    assert found == [("data.csv", "3", "les")]


def test_the_same_delivery_gives_the_same_bytes_and_replaces_the_old(tmp_path: Path) -> None:
    first = stage(tmp_path, "", "", {})
    before = {p.name: p.read_bytes() for p in first.folder.iterdir()}
    (first.folder / "stale.parquet").write_bytes(b"old")
    again = stage(tmp_path, "", "", {})
    assert {p.name: p.read_bytes() for p in again.folder.iterdir()} == before
    assert [p.name for p in again.folder.parent.iterdir()] == ["x1"]


def test_a_delivery_too_large_for_its_share_of_the_memory_is_staged_with_all_of_it(tmp_path: Path) -> None:
    """The bound gives way rather than the run; nothing is left of the first attempt."""
    import duckdb

    from pipelines import warehouse

    tried: list[str | None] = []

    @warehouse.again_with_room
    def work(name: str, limit: str | None = "1MB") -> str:
        tried.append(limit)
        with closing(warehouse.memory(tmp_path, limit)) as con:
            con.execute("create table numbers as select range, range::varchar from range(300000)")
        return name

    assert work("done") == "done"
    assert tried == ["1MB", None]

    @warehouse.again_with_room
    def broken(limit: str | None = "1MB") -> None:
        raise duckdb.OutOfMemoryException

    with pytest.raises(duckdb.OutOfMemoryException):
        broken()
