"""Deliveries as their export.yaml says: equal bytes, the hospital's words only, and nothing of the world left out."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from pipelines import study
from pipelines.errors import MappingError, UsageError
from pipelines.simulate import truth
from pipelines.simulate.render import render
from pipelines.simulate.simulate import simulate
from pipelines.simulate.write_xlsx import JOIN
from pipelines.warehouse import memory

STUDY = study.ROOT / "examples" / "reference_study"
UNITS = {"A": "me1", "B": "me2", "C": "me3", "R1": "rt1", "R2": "rt2", "R3": "rt3", "R4": "rt4"}
ONCOLOGY = ("me1", "me2", "me3")
ODM = "{http://www.cdisc.org/ns/odm/v1.3}"


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with closing(memory()) as connection:
        truth.build(connection, STUDY / "cohort.csv", STUDY / "lesions.csv", 1, UNITS)
        yield connection


@pytest.fixture(scope="module")
def deliveries(con: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("deliveries")
    for size, bulk in (("plain", False), ("bulk", True)):
        for centre in ONCOLOGY:
            render(con, study.ROOT / "centres" / centre / "export.yaml", out / size, bulk)
    return {size: out / size / "inbox" for size in ("plain", "bulk")}


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.rglob(pattern)
    return path


def one_file(tmp_path: Path, file: dict[str, Any], codes: dict[str, dict[str, str]]) -> Path:
    """An export.yaml of one file."""
    path = tmp_path / "here" / "export.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump({"centre": "me1", "unit": "A", "codes": codes, "files": [file]}), encoding="utf-8")
    return path


def test_a_centre_without_a_patient_sends_nothing(tmp_path: Path) -> None:
    """An export of no row is no export: a run would refuse it."""
    made = simulate(tmp_path, patients=1, seed=1)
    sent = sorted(folder.name for folder in (tmp_path / "inbox").iterdir())
    assert made["centres"] == sent and len(sent) == 2  # who gives the drug, and who irradiates


@pytest.mark.parametrize("size", ["plain", "bulk"])
@pytest.mark.parametrize("centre", ONCOLOGY)
def test_the_same_world_gives_the_same_bytes(con, deliveries, tmp_path, centre, size):
    render(con, study.ROOT / "centres" / centre / "export.yaml", tmp_path, size == "bulk")
    assert files(tmp_path / "inbox" / centre) == files(deliveries[size] / centre)


def test_manifest_has_the_extract_date_and_every_sum(con, deliveries):
    import hashlib

    for manifest in deliveries["plain"].rglob("manifest.yaml"):
        stated = yaml.safe_load(manifest.read_text(encoding="utf-8"))
        found = {n: hashlib.sha256(b).hexdigest() for n, b in files(manifest.parent).items() if n != "manifest.yaml"}
        assert stated["files"] == found
        assert manifest.parent.name == f"{stated['extract_date']}_export"


def test_another_delivery_of_that_name_is_never_overwritten(con, tmp_path):
    select = "select num(2.5) as x, comma(2.5) as y, code('sex', null) as z"
    export = one_file(tmp_path, {"path": "a.csv", "format": "csv", "select": select}, {"sex": {"M": "1"}})
    render(con, export, tmp_path, False)
    render(con, export, tmp_path, False)
    written = only(tmp_path / "inbox", "a.csv")
    assert written.read_text(encoding="utf-8") == 'x,y,z\n2.5,"2,5",\n'
    export.write_text(export.read_text(encoding="utf-8").replace("2.5", "3.5"), encoding="utf-8")
    with pytest.raises(UsageError, match="already"):
        render(con, export, tmp_path, False)
    assert "2.5" in written.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ("select code('sex', sex) from truth.subjects", r"here/export.yaml: a.csv: codes.sex .*it lacks F"),
        ("select code('gender', sex) from truth.subjects", r"here/export.yaml: a.csv: codes.gender"),
        ("select sexx from truth.subjects", r"here/export.yaml: a.csv: Binder Error"),
    ],
)
def test_a_code_without_a_word_is_refused(con, tmp_path, select, message):
    export = one_file(tmp_path, {"path": "a.csv", "format": "csv", "select": select}, {"sex": {"M": "1"}})
    with pytest.raises(MappingError, match=message):
        render(con, export, tmp_path, False)
    assert not (tmp_path / "inbox").exists()


def test_csv_habits(con, tmp_path):
    write = {
        "encoding": "cp1252", "delimiter": ";", "newline": "crlf",
        "preamble": ["Stand {extract_date}"], "footer": ["Totale;{rows}"],
    }  # fmt: skip
    select = "select * from (values (1, 'stabilità'), (2, 'a;b'), (3, null)) t(n, txt) order by n"
    file = {"path": "sub/a.csv", "format": "csv", "write": write, "select": select}
    render(con, one_file(tmp_path, file, {}), tmp_path, False)
    (extract_date,) = con.execute("select extract_date from world.meta").fetchone()
    lines = only(tmp_path / "inbox", "sub/a.csv").read_bytes().decode("cp1252").split("\r\n")
    assert lines == [f"Stand {extract_date}", "n;txt", "1;stabilità", '2;"a;b"', "3;", "Totale;3", ""]


def test_a_character_outside_the_encoding_is_refused(con, tmp_path):
    file = {"path": "a.csv", "format": "csv", "write": {"encoding": "cp1252"}, "select": "select '\u0141' as x"}
    with pytest.raises(MappingError, match="cp1252"):
        render(con, one_file(tmp_path, file, {}), tmp_path, False)


def test_workbook_pages_repeat_their_header(con, tmp_path):
    from openpyxl import load_workbook

    sheet = {
        "name": "S", "title": ["Report", ""], "page": {"rows": 2, "footer": [["Page {page}", "x"]]},
        "footer": ["{rows} rows"], "dates": "d", "numbers": "v",
        "select": "select * from (values (1, '2014-02-28', '3.5'), (2, '28/02/14', '3,5'), (3, null, '-1')) t(n, d, v)",
    }  # fmt: skip
    render(con, one_file(tmp_path, {"path": "a.xlsx", "format": "xlsx", "sheets": [sheet]}, {}), tmp_path, False)
    rows = list(load_workbook(only(tmp_path / "inbox", "a.xlsx"))["S"].iter_rows(values_only=True))
    first = [row[0] for row in rows]
    assert first == ["Report", None, "n", 1, 2, "Page 1", "n", 3, "Page 2", "3 rows"]
    assert (rows[3][1].isoformat(), rows[3][2], rows[4][1:], rows[7][2]) == (
        "2014-02-28T00:00:00", 3.5, ("28/02/14", "3,5"), -1,
    )  # fmt: skip


def test_workbook_and_twin_say_the_same(deliveries):
    """The merged header joins to the twin's columns, and each cell, read as text, is the twin's cell."""
    from openpyxl import load_workbook

    book = load_workbook(only(deliveries["plain"] / "me2", "*.xlsx"))
    assert [s.title for s in book if s.sheet_state == "hidden"] == ["vecchio"]
    grid = [list(row) for row in book["Lesioni"].iter_rows(min_row=3, values_only=True)]
    upper = [grid[0][0]]
    for cell in grid[0][1:]:
        upper.append(cell or upper[-1])
    names = [JOIN.join(filter(None, pair)) for pair in zip(upper, grid[1], strict=True)]
    rows = [[text(cell) for cell in row] for row in grid[2:] if str(row[0]).startswith("PZ-")]
    twin = duckdb.sql(
        f"from read_csv('{only(deliveries['bulk'] / 'me2', '*Lesioni.csv')}', delim = ';', all_varchar = true)"
    )
    assert names == twin.columns
    assert rows == [list(row) for row in twin.fetchall()]
    sizes = [cell for row in grid[2:] for name, cell in zip(names, row, strict=True) if name.endswith("|mm")]
    assert {type(cell) for cell in sizes} >= {str, float}


def text(cell: Any) -> str | None:
    if cell is None:
        return None
    if hasattr(cell, "date"):
        return cell.date().isoformat()
    return f"{cell:g}" if isinstance(cell, float) else str(cell)


@pytest.mark.parametrize(("xml", "suffix"), [("ME3_snapshot.xml", ""), ("ME3_transactions.xml", "_changes")])
def test_snapshot_and_twins_say_the_same(deliveries, xml, suffix):
    """Each item group of the XML, in document order of its group, is a row of its twin."""
    from lxml import etree

    tree = etree.parse(only(deliveries["plain"] / "me3", xml))
    assert tree.docinfo.doctype == ""
    # the removal of a whole subject is in no item group of the XML
    removed = "ME3_IG_DEMOG_changes.csv"
    files = (path for path in (deliveries["bulk"] / "me3").rglob("ME3_IG_*.csv") if path.name != removed)
    twins = {
        path.stem.partition("_")[2].removesuffix("_changes"): path
        for path in files
        if path.stem.endswith("_changes") == bool(suffix)
    }
    assert twins.keys() == {g.get("OID") for g in tree.iter(f"{ODM}ItemGroupDef")}
    for oid, path in twins.items():
        twin = duckdb.sql(f"from read_csv('{path}', all_varchar = true, header = true)")
        rows = []
        for group in tree.iter(f"{ODM}ItemGroupData"):
            if group.get("ItemGroupOID") != oid:
                continue
            form, event, subject = list(group.iterancestors())[:3]
            known = {name.rpartition("}")[2]: value for e in (subject, event, form, group) for name, value in e.items()}
            known |= {item.get("ItemOID"): item.get("Value") for item in group}
            blank = [item.get("ItemOID") for item in group if item.get("IsNull") == "Yes"]
            known |= {"IsNull": " ".join(blank) or None}
            rows.append([known.get(name) for name in twin.columns])
        assert rows == [list(row) for row in twin.fetchall()]


def test_codes_of_the_snapshot_are_explained_in_it(deliveries):
    from lxml import etree

    tree = etree.parse(only(deliveries["plain"] / "me3", "ME3_snapshot.xml"))
    lists = {
        code_list.get("OID"): {entry.get("CodedValue") for entry in code_list.iter(f"{ODM}CodeListItem")}
        for code_list in tree.iter(f"{ODM}CodeList")
    }
    coded = {ref.getparent().get("OID"): ref.get("CodeListOID") for ref in tree.iter(f"{ODM}CodeListRef")}
    values = [(i.get("ItemOID"), i.get("Value")) for i in tree.iter(f"{ODM}ItemData") if i.get("ItemOID") in coded]
    assert values and all(value in lists[coded[item]] for item, value in values)


def test_dictionary_explains_every_code_of_the_redcap_export(deliveries):
    folder = deliveries["plain"] / "me1"
    data = duckdb.sql(f"from read_csv('{only(folder, '*DATA.csv')}', all_varchar = true)")
    dictionary = duckdb.sql(f"from read_csv('{only(folder, '*Dictionary.csv')}', all_varchar = true)").fetchall()
    declared = {row[0] for row in dictionary}
    made = {"redcap_repeat_instrument", "redcap_repeat_instance"} | {f"{row[1]}_complete" for row in dictionary}
    assert {name.partition("___")[0] for name in data.columns} - made == declared
    for field, _, _, kind, _, choices, *_ in dictionary:
        if choices and kind != "checkbox":
            codes = {choice.split(",")[0].strip() for choice in choices.split(" | ")}
            found = {v for (v,) in data.select(f'"{field}"').distinct().fetchall() if v is not None}
            assert found <= codes, field


def test_redcap_export_carries_the_whole_world_of_the_centre(con, deliveries):
    """Row counts and sums of each form equal those of the world."""
    data = duckdb.sql(f"from read_csv('{only(deliveries['plain'] / 'me1', '*DATA.csv')}', all_varchar = true)")
    form = "coalesce(redcap_repeat_instrument, 'base')"
    counted = dict(data.aggregate(f"{form} as form, count(*) as n", "form").fetchall())
    world = {
        table: con.execute(f"select count(*) from world.{table} where centre = 'me1'").fetchone()[0]
        for table in ("subjects", "surgeries", "exposures", "lesions", "measurements", "adverse_events", "labs")
    }
    assert list(world.values()) == [
        counted[f] for f in ("base", "surgery", "therapy", "lesions", "measurements", "toxicity", "labs")
    ]
    sums = "sum(try_cast(mea_mm as decimal(9, 3))), sum(replace(ass_sum, ',', '.')::decimal(9, 3)), count(pd_no)"
    truths = con.execute("""
        select (select sum(diameter_mm) from world.measurements where centre = 'me1'),
            (select sum(sum_mm) from world.responses where centre = 'me1'),
            (select count(*) from world.progressions_reported where centre = 'me1')
    """).fetchone()
    assert data.aggregate(sums).fetchone() == truths


def test_a_small_cohort_is_csv_where_that_is_asked_for(tmp_path: Path) -> None:
    simulate(tmp_path, patients=8, csv=True)
    assert not {".dcm", ".ndjson", ".xlsx", ".xml"} & {p.suffix for p in tmp_path.glob("inbox/**/*")}
