"""The list of queries that a centre gets: whose ids it shows, its rank, and that no cell can run."""

import csv
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from pipelines import centres, query_files, study, warehouse
from pipelines.queries import ASKED, REPLIES, REPLY, ask, asked
from pipelines.query_files import write_queries, write_to_decide
from pipelines.query_words import sql_labels
from pipelines.warehouse import Home

CENTRE = sorted(centres.load_all(study.ROOT / "centres"))[0]
FINDINGS: list[dict[str, Any]] = [
    {"query_id": "Q1", "usubjid": "S-001", "record_key": "S-001|L1|visit 2", "table_name": "assessed.adtr",
     "rule_id": "recist/modality_changed", "severity": "query", "value_received": "mri"},
    {"query_id": "Q2", "usubjid": "S-001", "record_key": f"S-001|{CENTRE}|Fatigue", "rule_id": "ctcae/grade",
     "table_name": "harmonised.adverse_events", "severity": "query", "value_received": "=1+1"},
    {"query_id": "Q3", "usubjid": "S-001", "record_key": "S-001", "rule_id": "eligibility/ecog",
     "table_name": "validated.screening", "severity": "exclude", "value_received": "2"},
    {"query_id": "Q4", "record_key": "abc", "rule_id": "structure/no_study_code", "table_name": "staged.labs",
     "severity": "query", "source_row": "7"},
    {"query_id": "Q5", "usubjid": "S-001", "record_key": "S-001", "rule_id": "ctcae/grade_range",
     "table_name": "harmonised.adverse_events", "severity": "note"},
    {"query_id": "Q6", "usubjid": "S-002", "record_key": "S-002", "rule_id": "eligibility/ecog", "centre": "elsewhere",
     "table_name": "validated.screening", "severity": "exclude"},
]  # fmt: skip
GIVEN = {
    "centre": CENTRE, "field": "f", "message": "Problem", "local_message": "Problem", "local_suggestion": "Do",
    "state": "new", "source_file": "a.csv", "source_row": "3", "first_delivery": f"{CENTRE}-2017-04-02_export-0a1b2c3d",
    "first_dt": "2017-04-02", "due_dt": "2017-05-02",
}  # fmt: skip


def centre_queries(con: duckdb.DuckDBPyConnection, home: Home, centre: str) -> list[dict[str, Any]]:
    ask(con, home, centre)
    return list(asked(con))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[duckdb.DuckDBPyConnection, Home]]:
    with closing(warehouse.memory()) as con:
        home = Home(tmp_path)
        folder = home.staged / CENTRE
        folder.mkdir(parents=True)
        columns = ", ".join(f"{c.name} {c.sql_type}" for c in study.tables()["validated.findings"].columns)
        con.execute(f"create schema validated; create table validated.findings ({columns})")
        for finding in FINDINGS:
            values = ", ".join(f"{study.sql_literal(v)} as {k}" for k, v in {**GIVEN, **finding}.items())
            con.execute(f"insert into validated.findings by name select {values}")
        con.execute(f"copy (select 'S-001' as usubjid, '0042' as local_id) to '{folder / 'links.parquet'}'")
        con.execute(f"""
            copy (select null::varchar as usubjid, '0077' as local_id, 'structure/no_study_code' as rule_id,
                'a.csv' as source_file, '7' as source_row, 'f' as field) to '{folder / "findings.parquet"}'
        """)
        yield con, home


def test_queries_are_ranked_and_name_the_patient_as_the_centre_does(
    store: tuple[duckdb.DuckDBPyConnection, Home],
) -> None:
    found = centre_queries(*store, CENTRE)
    assert [(q["query_id"], q["priority"], q["local_id"]) for q in found] == [
        ("Q3", "endpoint", "0042"), ("Q1", "endpoint", "0042"), ("Q2", "safety", "0042"), ("Q4", "safety", "0077"),
    ]  # fmt: skip
    assert tuple(found[0]) == ASKED + REPLY
    assert (found[1]["form"], found[1]["visit"]) == ("Lesion measurements: L1", "2")
    assert (found[1]["value_received"], found[2]["value_received"]) == ("MRI", "=1+1"), "codes are said in words"
    assert found[2]["form"] == "Adverse events: fatigue", "the centre's own name says nothing"
    assert (found[0]["first_seen"], found[0]["due_date"]) == ("2017-04-02", "2017-05-02")


def test_forms_and_fields_have_the_names_that_people_know(
    store: tuple[duckdb.DuckDBPyConnection, Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column that staging asks about is the hospital's own, also where it is called as one of ours."""
    con, _ = store
    con.execute("update validated.findings set field = 'diameter_mm' where query_id = 'Q1'")
    con.execute("update validated.findings set field = 'lbdt' where query_id = 'Q4'")
    con.execute("update validated.findings set field = 'trdt' where query_id = 'Q3'")  # of no form of its own table
    con.execute("update validated.findings set record_key = 'S-001|C1|fraction 3' where query_id = 'Q2'")
    con.execute("update validated.findings set record_key = 'S-001|L1|visit 2|#0a1b2c' where query_id = 'Q1'")
    for language, words in {
        "en": ("Lesion measurements: L1", "diameter", "lbdt", "Date of the assessment", "C1, fraction 3"),
        "it": ("Misure delle lesioni: L1", "diametro", "lbdt", "data della valutazione", "C1, frazione 3"),
    }.items():  # fmt: skip
        monkeypatch.setattr("pipelines.queries._language", lambda _, said=language: said)
        found = {q["query_id"]: q for q in centre_queries(*store, CENTRE)}
        record = found["Q2"]["form"].split(": ")[1]
        assert (found["Q1"]["form"], *(found[q]["field"] for q in ("Q1", "Q4", "Q3")), record) == words


def test_a_source_is_called_by_the_forms_that_are_made_from_it_where_they_are_few() -> None:
    made = {"plans": ["courses"], "fields": ["courses", "labs"], "data": ["courses", "labs", "lesions"], "lesions": []}
    forms, _ = sql_labels("it", made)
    for name, label in {
        "plans": "Cicli di radioterapia", "fields": "Cicli di radioterapia, Esami di laboratorio", "lesions": "Lesioni",
    }.items():  # fmt: skip
        assert f"('staged.{name}', '{label}')" in forms
    assert "staged.data" not in forms, "its own name says more"


def add(con: duckdb.DuckDBPyConnection, **finding: Any) -> None:
    values = ", ".join(f"{study.sql_literal(v)} as {k}" for k, v in {**GIVEN, **finding}.items())
    con.execute(f"insert into validated.findings by name select {values}")


def test_a_code_is_said_in_words_also_where_the_checked_table_lacks_its_field(
    store: tuple[duckdb.DuckDBPyConnection, Home],
) -> None:
    con, home = store
    about = {"usubjid": "S-001", "severity": "query"}
    add(con, query_id="Q7", rule_id="linkage/x", table_name="assessed.lesion_growth", field="anatomic_site",
        value_received="local_recurrence", **about)  # fmt: skip
    add(con, query_id="Q8", rule_id="eligibility/x", table_name="validated.screening", field="brain_progressing_fl",
        value_received="Y", **about)  # fmt: skip
    add(con, query_id="Q9", rule_id="structure/x", table_name="staged.lesions", field="anatomic_site",
        value_received="local_recurrence", **about)  # fmt: skip
    asked = {q["query_id"]: q["value_received"] for q in centre_queries(con, home, CENTRE)}
    assert [asked[query] for query in ("Q7", "Q8", "Q9")] == ["local recurrence", "yes", "local_recurrence"]


def test_what_is_answered_stands_last_with_its_reply_and_what_is_accepted_is_gone(
    store: tuple[duckdb.DuckDBPyConnection, Home], tmp_path: Path
) -> None:
    con, home = store
    reply = {"replied_by": "A. Rossi", "replied_on": "2017-04-20", "usubjid": "S-001", "severity": "query"}
    add(con, query_id="Q7", rule_id="recist/x", state="answered", site_reply="confirmed", **reply)
    add(con, query_id="Q8", rule_id="recist/x", state="accepted", site_reply="confirmed", **reply)
    found = [(q["query_id"], q["site_reply"], q["replied_on"]) for q in centre_queries(con, home, CENTRE)]
    assert found[-1] == ("Q7", "confirmed", "2017-04-20")
    assert [query for query, _, _ in found] == ["Q3", "Q1", "Q2", "Q4", "Q7"]
    _, path = write_queries(centre_queries(con, home, CENTRE), CENTRE, tmp_path / "out")
    assert path.read_text(encoding="utf-8-sig").splitlines()[-1].endswith("confirmed,,A. Rossi,2017-04-20")


@pytest.mark.parametrize(
    ("language", "said"), [("en", 'You replied "corrected" on'), ("it", 'Avete risposto "corrected" il')]
)
def test_a_correction_that_did_not_arrive_is_told_in_the_centres_language(
    store: tuple[duckdb.DuckDBPyConnection, Home], language: str, said: str
) -> None:
    con, home = store
    (centre,) = [c.name for c in centres.load_all(study.ROOT / "centres").values() if c.language == language][:1]
    add(con, query_id="Q7", centre=centre, rule_id="recist/x", severity="query", state="open",
        conflict="correction_not_arrived", site_reply="corrected", replied_on="2017-04-20")  # fmt: skip
    (home.staged / "_declared").mkdir()
    for name in ("links", "findings"):
        source, target = (folder / f"{name}.parquet" for folder in (home.staged / CENTRE, home.staged / "_declared"))
        con.execute(f"copy (from '{source}') to '{target}'")
    (asked,) = [q for q in centre_queries(con, home, centre) if q["query_id"] == "Q7"]
    assert asked["problem"].startswith(f"Problem {said} 2017-04-20")


def test_one_root_cause_is_one_query_that_names_the_other_places(
    store: tuple[duckdb.DuckDBPyConnection, Home],
) -> None:
    con, home = store
    for row in range(12, 30):
        add(con, query_id=f"Q{row}", rule_id="structure/unmapped_code", severity="query", cause_id="C1",
            source_row=str(row))  # fmt: skip
    add(con, query_id="Q99", rule_id="structure/unmapped_code", severity="query", cause_id="C1", state="answered",
        source_row="5")  # fmt: skip
    asked = {q["query_id"]: q for q in centre_queries(con, home, CENTRE) if int(q["query_id"][1:]) > 10}
    assert asked.keys() == {"Q12", "Q99"}
    assert "a.csv 13, a.csv 14" in asked["Q12"]["problem"] and asked["Q12"]["problem"].endswith("a.csv 22, ...")
    assert asked["Q99"]["problem"] == "Problem"


class Fetched:
    """A result that does not lie in memory as a whole."""

    def __init__(self, result: duckdb.DuckDBPyConnection) -> None:
        self.description, self.fetchmany = result.description, result.fetchmany


def test_the_data_manager_has_a_list_of_what_is_to_be_decided(
    store: tuple[duckdb.DuckDBPyConnection, Home], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    con, _ = store
    columns = ", ".join(f"{c.name} {c.sql_type}" for c in study.tables()["validated.queries"].columns)
    con.execute(f"create table validated.queries ({columns})")
    con.execute("""
        insert into validated.queries by name
        from (values
            ('Q1', 'a', 'query', 'answered', 'confirmed', '=1+1', null),
            ('Q2', 'a', 'query', 'answered', 'corrected', '', null),
            ('Q3', 'b', 'query', 'open', 'corrected', '', 'correction_not_arrived'),
            ('Q4', 'b', 'query', 'open', null, '', null),
            ('Q5', 'b', 'query', 'resolved', 'confirmed', '', 'confirmed_but_changed'),
            ('Q6', 'b', 'exclude', 'answered', 'confirmed', '', null),
            ('Q7', 'b', 'exclude', 'open', 'corrected', '', 'corrected_but_fails')
        ) t(query_id, centre, severity, state, site_reply, site_comment, conflict)
    """)
    monkeypatch.setattr(query_files, "AT_ONCE", 2)
    some_at_once = SimpleNamespace(execute=lambda sql: Fetched(con.execute(sql)))
    with write_to_decide(some_at_once, tmp_path).open(encoding="utf-8-sig", newline="") as file:  # type: ignore[arg-type]
        found = list(csv.DictReader(file))
    assert [(r["query_id"], r["message"], r["conflict"], r["site_comment"]) for r in found] == [
        ("Q1", "Problem", "", "'=1+1"), ("Q3", "Problem", "correction_not_arrived", ""),
        ("Q7", "", "corrected_but_fails", ""),
    ]  # fmt: skip
    assert [r["to_do"].split(",")[0] for r in found] == ["accept it", "asked again", "asked again"]


def test_no_study_code_of_another_centre_leaves_the_house(store: tuple[duckdb.DuckDBPyConnection, Home]) -> None:
    assert "S-002" not in str(centre_queries(*store, CENTRE))


def test_the_csv_opens_in_the_centres_spreadsheet(
    store: tuple[duckdb.DuckDBPyConnection, Home], tmp_path: Path
) -> None:
    _, path = write_queries(centre_queries(*store, CENTRE), CENTRE, tmp_path / "out")
    assert path.name == "queries.csv" and path.read_bytes().startswith(b"\xef\xbb\xbf")
    delimiter = centres.load(study.ROOT / "centres" / CENTRE).queries_delimiter
    with path.open(encoding="utf-8-sig", newline="") as file:
        head, *rows = csv.reader(file, delimiter=delimiter)
    assert tuple(head) == ASKED + REPLY
    assert [len(row) for row in rows] == [len(head)] * 4
    assert rows[2][head.index("value_received")] == "'=1+1"


def test_the_workbook_takes_only_replies(store: tuple[duckdb.DuckDBPyConnection, Home], tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    path, _ = write_queries(centre_queries(*store, CENTRE), CENTRE, tmp_path / "out")
    sheet = openpyxl.load_workbook(path)["queries"]
    assert sheet.protection.sheet
    head = [cell.value for cell in sheet[1]]
    assert tuple(head) == ASKED + REPLY
    assert {name: cell.protection.locked for name, cell in zip(head, sheet[2], strict=True)} == {
        name: name not in REPLY for name in head
    }
    assert all(cell.data_type != "f" for row in sheet.iter_rows() for cell in row)
    legend = openpyxl.load_workbook(path)["legend"]
    explained = [row[0].value for row in legend.iter_rows()]
    assert explained[: len(head)] == head and set(REPLIES) | {"new", "open", "reopened"} <= set(explained)
    choices = [v for v in sheet.data_validations.dataValidation if v.type == "list"]
    assert choices[0].formula1 == '"' + ",".join(REPLIES) + '"'
    again, _ = write_queries(centre_queries(*store, CENTRE), CENTRE, tmp_path / "again")
    assert path.read_bytes() == again.read_bytes()


def test_a_workbook_stays_while_its_list_is_the_same(
    store: tuple[duckdb.DuckDBPyConnection, Home], tmp_path: Path
) -> None:
    asked = centre_queries(*store, CENTRE)
    book, listed = write_queries(asked, CENTRE, tmp_path)
    made, written = book.read_bytes(), book.stat().st_mtime_ns
    write_queries(asked, CENTRE, tmp_path, may_stay=True)
    assert book.stat().st_mtime_ns == written
    for other in (lambda: book.write_bytes(b"another"), lambda: (tmp_path / ".queries").unlink(), book.unlink):
        other()
        write_queries(asked, CENTRE, tmp_path, may_stay=True)
        assert book.read_bytes() == made and book.stat().st_mtime_ns > written
    write_queries(asked[1:], CENTRE, tmp_path, may_stay=True)
    assert book.read_bytes() != made and len(listed.read_bytes().splitlines()) == len(asked)
    write_queries(asked, CENTRE, tmp_path)
    assert book.read_bytes() == made


def test_the_workbook_holds_what_the_csv_holds_whatever_the_text(
    store: tuple[duckdb.DuckDBPyConnection, Home], tmp_path: Path
) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    hostile = {
        "problem": 'one\r\ntwo "three";\nfour\0\rfive',
        "action": "x" * 200_000,
        "field": "\ufeff;,",
        "form": "=1",
    }
    asked = [q | hostile for q in centre_queries(*store, CENTRE)]
    book, listed = write_queries(asked, CENTRE, tmp_path)
    with listed.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file, delimiter=centres.load(study.ROOT / "centres" / CENTRE).queries_delimiter))
    sheet = openpyxl.load_workbook(book)["queries"].iter_rows(values_only=True)
    assert [[value or "" for value in row] for row in sheet] == rows
    assert len(rows) == len(asked) + 1


def test_a_list_that_cannot_be_written_to_its_end_leaves_the_one_before(
    store: tuple[duckdb.DuckDBPyConnection, Home], tmp_path: Path
) -> None:
    asked = centre_queries(*store, CENTRE)
    _, listed = write_queries(asked, CENTRE, tmp_path)
    before = listed.read_bytes()
    with pytest.raises(KeyError):
        write_queries([*asked[:1], {}], CENTRE, tmp_path)
    assert listed.read_bytes() == before
