"""A mapping says what it means or is refused with line and nearest right word."""

import copy
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import pytest

from pipelines import centres, study, yaml_schema
from pipelines.errors import MappingError

ROOT = Path(__file__).resolve().parents[2] / "centres"
SMALL = """\
centre: x1
title: Invented
kind: oncology
language: en
formats: ["%Y-%m-%d"]
sources:
  visits: {files: V.csv, read: {format: csv}, key: [id], guard: {name: [TEST]}, ignore: [printed]}
  log: {files: L.csv, read: {format: csv}}
tables:
  links:
    - source: log
      fields: {local_id: {from: id}, usubjid: {from: code}, sex: {from: sex, map: {m: M, f: F}}}
  measurements:
    - source: visits
      where: {kind: {in: [scan]}}
      unpivot: {blocks: 'V(?P<visit>\\d+) (?P<field>mm|day)'}
      lookup: {source: log, on: {id: id}, take: {usual: method}}
      fields:
        local_id: {from: id}
        lesion_id: {from: lesion}
        visitnum: {from: visit}
        trdt: {from: day}
        diameter_mm: {from: mm, unit: cm}
        method: {from: usual}
"""


def load(tmp_path: Path, text: str) -> centres.Centre:
    folder = tmp_path / "x1"
    folder.mkdir(exist_ok=True)
    (folder / "centre.yaml").write_text(text, encoding="utf-8")
    return centres.load(folder)


def test_every_centre_and_the_template_load() -> None:
    loaded = centres.load_all(ROOT)
    assert loaded and all(name == c.name for name, c in loaded.items())
    assert "template" not in loaded
    assert centres.load(ROOT / "_template").kind == "oncology"


def test_columns_are_those_that_the_mapping_names(tmp_path: Path) -> None:
    visits, log = (load(tmp_path, SMALL).columns(s) for s in ("visits", "log"))
    named = [c for c in ("id", "kind", "lesion", "V1 mm", "V12 day", "V1 other", "name", "printed") if c in visits]
    assert named == ["id", "kind", "lesion", "V1 mm", "V12 day"]
    assert sorted(log) == ["code", "id", "method", "sex"]


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("key: [id]", "drop_rows: [{where: {name: {in: [OTHER]}}, reason: test}]", 7, "it never lands"),
        ("ignore: [printed]", "ignroe: [printed]", 7, "did you mean 'ignore'?"),
        ("kind: oncology", "kind: oncolgy", 3, "did you mean 'oncology'?"),
        ("m: M, f: F", "m: M, f: W", 12, "'W' is not a code of sex (M, F)"),
        ("lesion_id:", "lesion:", 20, "did you mean 'lesion_id'?"),
        ("unit: cm", "unit: inch", 23, "mm or cm"),
        ("  measurements:", "  measurement:", 13, "did you mean 'measurements'?"),
        ("    - source: visits", "    - source: vists", 14, "did you mean 'visits'?"),
        ("in: [scan]", "in: [1]", 15, "in quotes"),
        ('formats: ["%Y-%m-%d"]', "formats: []", 22, "a date needs formats"),
        ("{from: usual}", "{}", 24, "needs from or first_of or constant or product"),
        ("files: L.csv", "files: L.csv, files", 8, ""),
        ("  measurements:", "  links: []\n  measurements:", 13, "'links' stands here and in line 10"),
        ("m: M, f: F", "m: M, m: F", 12, "'m' stands here and in line 12"),
        ("in: [scan]", "matches: '(?!x)y'", 15, "(?!"),
        ("in: [scan]", "not_matches: '['", 15, "missing ]"),
        ("V(?P<visit>", "V((?P<visit>", 16, "missing )"),
        ("(?P<field>mm|day)", "(?P<what>mm|day)", 16, "P<field>"),
        ("V.csv, read: {format: csv}", "V.csv, read: {format: csv, encoding: cp1253x}", 7, "did you mean 'cp1252'?"),
        ("V.csv, read: {format: csv}", "V.csv, read: {format: csv, encoding: base64}", 7, "'base64' is not one of"),
        ("V.csv, read: {format: csv}", 'V.csv, read: {format: csv, delimiter: ""}', 7, "does not look like"),
        ("V.csv, read: {format: csv}", 'V.csv, read: {format: csv, quote: "::"}', 7, "does not look like"),
        ("V.csv, read: {format: csv}", "V.csv, read: {format: xlsx}", 7, "'sheet' is missing"),
        ("V.csv, read: {format: csv}", "V.csv, read: {format: odm}", 7, "'item_group' is missing"),
        ("V.csv, read: {format: csv}", "V.csv, read: {format: dicom}", 7, "'modality' is missing"),
        ("V.csv, read: {format: csv}", "V.csv, read: {format: fhir, columns: {a: b}}", 7, "'resource' is missing"),
        ("V.csv, read: {format: csv}", "V.csv, read: {format: csv, header: {rows: 3}}", 7, "at most 2"),
        ("unit: cm", "unit: cm, times: abc", 23, "does not look like"),
        ("unit: cm", 'unit: cm, times: "0"', 23, "does not look like"),
        ("unit: cm", 'unit: cm, times: "1000000000"', 23, "does not look like"),
        ("unit: cm", 'unit: cm, times: "-2"', 23, "does not look like"),
        ("unit: cm", "unit: cm, type: int", 23, "'diameter_mm' holds a number with at most 3 decimals"),
        ("trdt: {from: day}", "trdt: {from: day, type: text}", 22, "'trdt' holds a date"),
        ("trdt: {from: day}", "trdt: {constant: soon}", 22, "'soon' is not a date"),
        ("visitnum: {from: visit}", "visitnum: {constant: first}", 21, "'first' is not a whole number"),
        ("lesion_id: {from: lesion}", "lesion_id: {from: []}", 20, "at least one entry"),
        ('"%Y-%m-%d"', '"%Y-%m-%d %Q"', 5, "does not look like"),
        ("kind: oncology", "kind: oncology\ncadence_days: -1", 4, "at least 1"),
        ("local_id: {from: id}\n", "age_years: {from: id}\n", 19, "not a column that a centre fills"),
    ],
)
def test_a_mistake_is_refused_with_its_line(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    assert old in SMALL
    with pytest.raises(MappingError) as refused:
        load(tmp_path, SMALL.replace(old, new, 1))
    assert f"x1/centre.yaml, line {line}" in str(refused.value)
    assert said in str(refused.value)


def test_a_key_may_be_written_over_what_it_is_merged_with(tmp_path: Path) -> None:
    text = SMALL.replace(
        "read: {format: csv}, key", "read: &read {<<: &plain {format: csv, quote: \"'\"}, quote: '|'}, key"
    )
    merged = load(tmp_path, text.replace("L.csv, read: {format: csv}", 'L.csv, read: {<<: *read, quote: "#"}'))
    assert [merged.sources[name].read["quote"] for name in ("visits", "log")] == ["|", "#"]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(MappingError) as refused:
        load(tmp_path, SMALL.replace("f: F", "f: W").replace("unit: cm", "unit: inch"))
    assert len(str(refused.value).splitlines()) == 2


def test_a_rollup_may_not_lose_a_staged_field(tmp_path: Path) -> None:
    text = SMALL + "      rollup: {by: [local_id, lesion_id, trdt], max: [diameter_mm, wisit], first: [method]}\n"
    with pytest.raises(MappingError) as refused:
        load(tmp_path, text)
    assert "'wisit' is not one of its fields" in str(refused.value)
    assert "'visitnum' is lost" in str(refused.value)


@pytest.mark.parametrize(
    ("rollup", "said"),
    [
        ("sum: [diameter_mm], max: [diameter_mm, visitnum]", "'diameter_mm' can only be one of"),
        ("sum: [diameter_mm, method], max: [visitnum]", "'method' is no number"),
    ],
)
def test_a_rollup_makes_each_field_once_and_adds_up_numbers(tmp_path: Path, rollup: str, said: str) -> None:
    with pytest.raises(MappingError, match=said):
        load(tmp_path, f"{SMALL}      rollup: {{by: [local_id, lesion_id, trdt], {rollup}}}\n")


@pytest.mark.parametrize("times", ["0.1", "1.5", "2", "99999.9999", "0.0001", "007"])
def test_a_factor_is_a_plain_number_above_zero(tmp_path: Path, times: str) -> None:
    load(tmp_path, SMALL.replace("unit: cm", f'unit: cm, times: "{times}"'))


def test_words_that_yaml_1_1_takes_for_booleans_are_texts(tmp_path: Path) -> None:
    flag = "{from: on, yes: [SI, yes], no: [NO, 1:02]}"
    part = f"    - {{source: visits, fields: {{local_id: {{from: id}}, measurable_fl: {flag}}}}}"
    centre = load(tmp_path, f"{SMALL}  lesions:\n{part}\n")
    field = centre.tables["lesions"][0].fields[1]
    assert (field.columns, field.spec["yes"], field.spec["no"]) == (("on",), ["SI", "yes"], ["NO", "1:02"])


def broken(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    document: Any = copy.deepcopy(yaml_schema.read(ROOT / "_template" / "centre.yaml"))
    node = document
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("kind",), "surgery"),
        (("cadence_days",), "often"),
        (("cadence_days",), True),
        (("missing",), [1]),
        (("sources", "Visits"), {"files": "a", "read": {"format": "csv"}}),
        (("sources", "visits", "read"), {"format": "sas"}),
        (("sources", "visits", "read"), {}),
        (("sources", "visits", "drop_rows", 0, "reason"), "Not A Word"),
        (("sources", "visits", "stop_at"), {}),
        (("tables", "links"), []),
        (("tables", "links", 0, "fields", "sex"), {"form": "Sex"}),
        (("tables", "links", 0, "fields", "sex", "map"), {"a": 1}),
        (("tables", "measurements", 0, "lookup"), [{"source": "log", "on": {}, "take": ["a"]}]),
        (("tables", "courses", 0, "rollup"), [{"sum": ["a"]}]),
        (("tables", "criteria", 0, "unpivot"), {"columns": ["a"], "name": "n"}),
    ],
)
def test_the_walk_refuses_what_the_published_schema_refuses(path: tuple[Any, ...], value: Any) -> None:
    validator = jsonschema.Draft202012Validator(centres._schema().document)
    assert validator.is_valid(broken(("language",), "it")) and not centres._schema().errors(broken(("language",), "it"))
    document = broken(path, value)
    assert not validator.is_valid(document)
    assert centres._schema().errors(document)


@pytest.mark.parametrize("name", sorted(p.parent.name for p in ROOT.glob("*/centre.yaml")))
def test_every_mapping_fits_the_published_schema(name: str) -> None:
    jsonschema.Draft202012Validator(centres._schema().document).validate(yaml_schema.read(ROOT / name / "centre.yaml"))


def test_a_title_is_one_text_or_one_by_language(tmp_path: Path) -> None:
    assert "title: Invented\n" in SMALL and "language: en" in SMALL
    plain = load(tmp_path, SMALL)
    assert (plain.title, plain.local_title) == ("Invented", "Invented")
    spoken = SMALL.replace("language: en", "language: it")
    spoken = spoken.replace("title: Invented\n", "title: {en: Invented, it: Inventata}\n")
    both = load(tmp_path, spoken)
    assert (both.title, both.local_title) == ("Invented", "Inventata")
    with pytest.raises(MappingError, match=r"line \d+, title: needs en and it"):
        load(tmp_path, SMALL.replace("title: Invented\n", "title: {en: Invented}\n"))


def test_centres_become_a_table(tmp_path: Path) -> None:
    with duckdb.connect() as con:
        con.execute("create schema study")
        centres.create_table(con, {"x1": load(tmp_path, SMALL.replace("Invented", "An 'invented' unit"))})
        assert con.execute("from study.centres").fetchall() == [
            ("x1", "oncology", "An 'invented' unit", "en", study.protocol()["cadence_days"]["value"])
        ]
