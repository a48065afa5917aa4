"""Each rule's own examples are its test; then what the pass does with counts, broken rules and staging's findings."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from pipelines import models, study, warehouse
from pipelines.disclosure import escape_formula
from pipelines.errors import MappingError
from pipelines.orchestration.take_in import declare_staged, stop_rules
from pipelines.rules import examples
from pipelines.rules.load import RECEIVED, Rule, counted, load_rules
from pipelines.rules.run import run_rules
from pipelines.rules.statements import failing, reasons

RULES = counted(load_rules())
HOME_CENTRE, SUBJECT = examples.HERE, examples.SUBJECT


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """Every table that rules read, declared and empty."""
    with closing(warehouse.memory()) as con:
        examples.declare(con, RULES)
        yield con


def insert(con: duckdb.DuckDBPyConnection, table: str, row: Mapping[str, Any]) -> None:
    con.execute(examples.row_sql(table, row))


@pytest.mark.parametrize("rule", [r for r in RULES if not r.raised_by], ids=lambda r: r.rule_id)
def test_a_rule_judges_its_examples(con: duckdb.DuckDBPyConnection, rule: Rule) -> None:
    about: set[str | None] = set()
    for kind, verdict in {"passes": "pass", "fails": "fail", "unknown": "unknown"}.items():
        for example in rule.examples.get(kind, ()):
            said, found = examples.judge(con, rule, example)
            assert said == verdict, example
            if found:
                told = found[0]
                assert told["centre"], "a finding names the centre that is asked"
                about.add(told["usubjid"])
                for word in ("message", "suggestion", "expected"):
                    assert "{" not in told[word] and "{" not in told[f"local_{word}"], "texts are filled in"
                assert told["local_message"] != told["message"]
    meant = {SUBJECT} if rule.about is None else {None} if rule.about == "centre" else {None, SUBJECT}
    assert about in (meant, set()), "where it depends on the row, there is an example of either"
    for example in rule.examples.get("not_applicable", ()):
        assert examples.judge(con, rule, example)[0] == "not_applicable", example


def simple(**changes: Any) -> Rule:
    values: dict[str, Any] = {
        "family": "made", "name": "up", "title": {"en": "A title", "it": "Un titolo"}, "source": "none",
        "category": "plausibility", "severity": "query", "table": "harmonised.fractions",
        "message": {"en": "{value} of {course_id}", "it": "{value} di {course_id}"},
        "suggestion": {"en": "Do.", "it": "Fare."},
        "fields": ("dose_gy",), "record_key": ("t.usubjid", "t.course_id"), "examples": {},
        "fails_when": "t.dose_gy > 10",
    }  # fmt: skip
    return Rule(**{**values, **changes})


def test_an_example_that_cannot_be_read_spoils_no_other_rule() -> None:
    healthy = {"passes": [{"course_id": "C1", "dose_gy": 8}], "fails": [{"course_id": "C1", "dose_gy": 12}]}
    first = simple(name="first", examples={"passes": [{"course_id": "C1", "dose_gy": "twelve"}]})
    assert list(examples.try_examples([first, simple(name="second", examples=healthy)])) == ["made/first"]


@pytest.mark.parametrize(("name", "expected", "local_expected", "words"), [
    ("linkage/target_site_differs", "bone", "osso", ("polmone", "osso")),
    ("linkage/lesion_site_differs", "lung", "polmone", ("polmone", "osso")),  # of a table without such a column
    ("recist/modality_changed", "CT", "TC", ("con RM", "con TC")),
    ("recist/progression_pattern_differs", "both inside and outside the irradiated volume",
     "sia dentro sia fuori dal volume irradiato", ("solo lesioni irradiate",)),
    ("eligibility/effusion", "no", "no", ("ricevuto: sì.",)),
    ("recist/state_and_diameter", "no diameter, or 0 mm", "nessun diametro, oppure 0 mm", ("è assente",)),
])  # fmt: skip
def test_codes_are_told_in_words_of_the_language(
    con: duckdb.DuckDBPyConnection, name: str, expected: str, local_expected: str, words: tuple[str, ...]
) -> None:
    (rule,) = (r for r in RULES if r.rule_id == name)
    (found,) = examples.judge(con, rule, rule.examples["fails"][0])[1]
    assert (found["expected"], found["local_expected"]) == (expected, local_expected)
    assert all(word in found["local_message"] for word in words), found["local_message"]


@pytest.mark.parametrize(("day", "asked"), [(None, False), ("2017-03-31", True), ("2017-04-01", False)])
def test_a_rule_that_is_withdrawn_is_asked_up_to_that_day(
    con: duckdb.DuckDBPyConnection, day: str | None, asked: bool
) -> None:
    insert(con, "harmonised.fractions", {"dose_gy": 20})
    insert(con, "staged.deliveries", {"delivery_dt": "2017-01-01"})
    insert(con, "staged.deliveries", {"delivery_dt": day})
    run_rules(con, [simple(), simple(name="other", withdrawn="2017-04-01" if day else "2017-01-01")])
    found = con.execute("select rule_id from validated.rule_failures order by all").fetchall()
    assert found == [("made/other",)] * asked + [("made/up",)]
    assert con.execute("select count(distinct rule_id) from validated.rule_counts").fetchall() == [(1 + asked,)]


@pytest.mark.parametrize(("version", "status", "problem"), [
    ("1.9", "not_applicable", "expectations/made/up.yaml: holds from protocol version 1.10 on; 1.9 is in force"),
    ("1.10", "fail", None),
])  # fmt: skip
def test_a_rule_of_a_later_protocol_judges_nobody(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, version: str, status: str, problem: str | None
) -> None:
    monkeypatch.setenv("RESTAGE_PROTOCOL", version)
    insert(con, "harmonised.fractions", {"dose_gy": 20})
    insert(con, "staged.received", {"n_rows": 1})
    run_rules(con, [simple(since="1.10")])
    assert con.execute("select status, problem from validated.rule_counts").fetchall() == [(status, problem)]
    assert len(con.execute("from validated.rule_failures").fetchall()) == (status == "fail")


OF_COURSE = "harmonised.targets c on c.usubjid = t.usubjid and c.course_id = t.course_id"


@pytest.mark.parametrize(
    ("joins", "applies", "n"),
    [
        (f"left join {OF_COURSE}", "true", 2),
        (f"LEFT OUTER JOIN {OF_COURSE}", "true", 2),
        (f"LEFT JOIN {OF_COURSE}", "c.target_id is not null", 1),
        (f"left join {OF_COURSE}", "target_id is not null", 1),
        (f"left join {OF_COURSE.replace(' c ', ' C ').replace('c.u', 'C.u')}", "C.target_id is not null", 1),
        (f"JOIN {OF_COURSE}", "true", 1),
        (f"full outer join {OF_COURSE}", "true", 2),
        (f"semi join {OF_COURSE}", "true", 1),
        (f"left join -- (a note)\n {OF_COURSE}", "t.course_id not in ('join', 'left join x on')", 2),
        (
            "left join (select * from harmonised.targets where target_id <> ')') c on c.course_id = t.course_id",
            "true",
            2,
        ),
    ],
)
def test_rows_are_counted_over_the_joins_that_decide(
    con: duckdb.DuckDBPyConnection, joins: str, applies: str, n: int
) -> None:
    for course in ("C1", "C2"):
        insert(con, "harmonised.fractions", {"centre": "a", "course_id": course, "dose_gy": 5})
    insert(con, "harmonised.targets", {"centre": "a", "course_id": "C1", "target_id": "T1"})
    run_rules(con, [simple(joins=joins, applies_when=applies)])
    assert con.execute("select n_checked, status from validated.rule_counts where centre = 'a'").fetchall() == [
        (n, "pass")
    ]


def test_counts_by_rule_and_centre(con: duckdb.DuckDBPyConnection) -> None:
    """One row for every rule and centre that sent anything; nothing checked is no pass."""
    for centre, dose in (("a", 5), ("a", 12.5), ("b", 5)):
        insert(con, "harmonised.fractions", {"centre": centre, "course_id": "C1", "dose_gy": dose})
    con.execute("insert into staged.received by name select unnest(['a', 'b', 'c']) as centre, 10 as n_rows")
    run_rules(con, [simple(), simple(name="broken", fails_when="t.dose_gy > no_such_column")])
    counts = "select rule_id, centre, n_checked, n_failed, status from validated.rule_counts order by all"
    assert con.execute(counts).fetchall() == [
        ("made/broken", "a", 0, 0, "error"), ("made/broken", "b", 0, 0, "error"), ("made/broken", "c", 0, 0, "error"),
        ("made/up", "a", 2, 1, "fail"), ("made/up", "b", 1, 0, "pass"), ("made/up", "c", 0, 0, "not_applicable"),
    ]  # fmt: skip
    found = con.execute("select record_key, value_received, message from validated.rule_failures").fetchall()
    assert found == [(f"{SUBJECT}|C1", "12.5", "12.5 of C1")]


def test_a_rule_that_breaks_on_a_value_leaves_no_failing_row(con: duckdb.DuckDBPyConnection) -> None:
    """The select of failing rows runs; the one that counts does not: the whole rule is in error."""
    insert(con, "harmonised.fractions", {"course_id": "C1", "dose_gy": 12})
    run_rules(con, [simple(name="breaks", applies_when="t.course_id::integer = 1"), simple()])
    statuses = con.execute("select rule_id, status from validated.rule_counts order by all").fetchall()
    assert statuses == [("made/breaks", "error"), ("made/up", "fail")]
    assert con.execute("select distinct rule_id from validated.rule_failures").fetchall() == [("made/up",)]


def test_one_question_per_root_cause(con: duckdb.DuckDBPyConnection) -> None:
    """A rule waits while what it rests on is asked for; a value that could not be read is not asked for twice."""
    for subject, dose in (("S-001", 12), ("S-002", 8)):
        insert(con, "harmonised.fractions", {"usubjid": subject, "course_id": "C1", "dose_gy": dose, "source_row": "4"})
    con.execute("""
        insert into staged.findings by name
        select 'here' as centre, 'labs' as table_name, 'S-002' as usubjid, 'f.csv' as source_file, '7' as source_row,
            'Data' as field, 'lbdt' as staged_field, 'structure/unreadable_date' as rule_id
    """)
    insert(con, "harmonised.fractions", {"usubjid": "S-003", "source_file": "f.csv", "source_row": "7", "dose_gy": 5})
    waiting = simple(name="waits", fails_when="true", waits_for=("labs", "made/up"))
    twice = simple(name="twice", fields=("fraction_no",), fails_when="true")
    lost = replace(waiting, name="lost", severity="exclude")
    run_rules(con, [simple(), waiting, lost, *(r for r in RULES if r.raised_by)])
    found = "select rule_id, usubjid from validated.rule_failures where rule_id like 'made/%' order by all"
    assert con.execute(found).fetchall() == [
        ("made/lost", "S-001"), ("made/lost", "S-002"), ("made/lost", "S-003"), ("made/up", "S-001"),
        ("made/waits", "S-003"),
    ]  # fmt: skip
    con.execute("update staged.findings set staged_field = 'fraction_no'")
    run_rules(con, [twice, *(r for r in RULES if r.raised_by)])
    assert con.execute(found).fetchall() == [("made/twice", "S-001"), ("made/twice", "S-002")]


def test_what_is_wrong_with_a_record_waits_while_it_is_asked_whether_it_exists(con: duckdb.DuckDBPyConnection) -> None:
    """Line 4 of the first delivery vanished with the second; line 4 of the third is another record."""
    con.execute("""
        insert into staged.deliveries by name
        select n as epoch, 'here' as centre, 'd' || (9 - n) as delivery_id, 'snapshot' as kind from range(1, 4) t(n);
        insert into staged.findings by name
        select 'here' as centre, 'd7' as delivery_id, 'fractions' as table_name, 'S-001' as usubjid,
            'f.csv' as source_file, '4' as source_row, 'structure/vanished_record' as rule_id
    """)
    for usubjid, delivery in (("S-001", "d8"), ("S-002", "d6")):
        place = {"source_file": "f.csv", "source_row": "4", "delivery_id": delivery}
        insert(con, "harmonised.fractions", {"usubjid": usubjid, "dose_gy": 12, **place})
    run_rules(con, [simple(), *(r for r in RULES if r.raised_by)])
    found = con.execute("select rule_id, usubjid from validated.rule_failures order by all").fetchall()
    assert found == [("made/up", "S-002"), ("structure/vanished_record", "S-001")]


def test_a_late_component_is_found_in_its_own_assessment(con: duckdb.DuckDBPyConnection) -> None:
    (rule,) = [r for r in RULES if r.rule_id == "recist/visit_spread"]
    # visit 9 began on the day of visit 2 and belongs to it; visit 3 has a scan on the day of its late component
    rows = [(2, "2014-03-01", 2), (3, "2014-05-05", 3), (9, "2014-03-01", 4), (9, "2014-05-05", 5)]
    for visitnum, trdt, row in rows:
        insert(con, "harmonised.measurements", {"visitnum": visitnum, "trdt": trdt, "source_row": str(row)})
    for visitnum, as_visitnum in ((2, 2), (3, 3), (9, 2)):
        insert(con, "assessed.visit_days", {"visitnum": visitnum, "as_visitnum": as_visitnum})
    insert(con, "harmonised.subjects", {})
    insert(con, "assessed.visits", {"visitnum": 2, "adt": "2014-03-01", "last_dt": "2014-05-05"})
    run_rules(con, [rule])
    found = con.execute("select rule_id, source_row from validated.rule_failures").fetchall()
    assert found == [("recist/visit_spread", "5")]


def run_model(con: duckdb.DuckDBPyConnection, full_name: str) -> None:
    """Make one table from its SQL, over tables that are empty where the test made none."""
    model = models.load()[full_name]
    for table in model.deps:
        listed = ", ".join(f'"{name}" {kind}' for name, kind in examples.columns_of(table).items())
        con.execute(f"create table if not exists {table} ({listed})")
    con.execute(f"create or replace table {full_name} as {model.sql}")


def test_nobody_is_eligible_by_a_rule_that_could_not_run(con: duckdb.DuckDBPyConnection) -> None:
    """A broken rule leaves no failing rows; who fails another one is still excluded, the others are undetermined."""
    for subject, age in (("S-001", 64), ("S-002", 17)):
        insert(con, "validated.screening", {"usubjid": subject, "ecog": 2, "age_years": age})
    rules = {r.name: r for r in RULES if r.family == "eligibility"}
    run_rules(con, [rules["age"], replace(rules["ecog"], fails_when="t.no_such_column > 1")])
    run_model(con, "validated.eligibility")
    assert con.execute("select usubjid, status, main_reason from validated.eligibility order by all").fetchall() == [
        ("S-001", "undetermined", f"not judged: {rules['ecog'].title['en']}"),
        ("S-002", "excluded", f"not met: {rules['age'].title['en']}"),
    ]


@pytest.mark.parametrize(
    ("fractions", "counted"), [(5, 5), (0, 0), (None, None)], ids=["given", "none given", "not known"]
)
def test_fractions_that_nobody_counted_are_not_none(
    con: duckdb.DuckDBPyConnection, fractions: int | None, counted: int | None
) -> None:
    """A progressing lesion was a target of a course; how many fractions it had decides, and unknown is not zero."""
    run_model(con, "validated.screening")
    irradiated: dict[str, dict[str, Any]] = {
        "assessed.irradiated_lesions": {"lesion_id": "L1", "rtsiteid": HOME_CENTRE, "target_id": "T1"}
    }
    rows: dict[str, dict[str, Any]] = {
        "assessed.subject_dates": {}, "harmonised.subjects": {}, "assessed.progressions": {},
        "assessed.lesion_progressions": {"lesion_id": "L1"},
        "harmonised.lesion_links": {"lesion_id": "L1", "target_id": "T1"},
        "harmonised.targets": {"target_id": "T1", "course_id": "C1"},
        "assessed.delivered_courses": {"course_id": "C1", "n_fractions": fractions},
        **(irradiated if fractions else {}),
    }  # fmt: skip
    for table, row in rows.items():
        insert(con, table, row)
    run_model(con, "validated.screening")
    assert con.execute("select n_fractions_to_progressing from validated.screening").fetchall() == [(counted,)]


@pytest.mark.parametrize(("dose", "rejected"), [(5, False), (12.5, True)])
def test_a_stop_rule_rejects_and_quotes_no_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dose: float, rejected: bool
) -> None:
    """Staged rows of one centre against a rule that stops; the problem says where and how often, not what."""
    monkeypatch.setattr(
        "pipelines.rules.load.load_rules", lambda **_: [simple(severity="stop", table="staged.fractions")]
    )
    with closing(warehouse.memory()) as con:
        declare_staged(con, tmp_path)
        path = tmp_path / "_declared" / "fractions.parquet"
        con.execute(f"create table fractions as from '{path}'")
        row = {"usubjid": SUBJECT, "centre": HOME_CENTRE, "source_file": "f.csv", "source_row": "4", "dose_gy": dose}
        values = ", ".join(f"{study.sql_literal(v)} as {k}" for k, v in row.items())
        con.execute(f"insert into fractions by name select {values}; copy fractions to '{path}' (format parquet)")
    n_checked, problems = stop_rules(path.parent)
    assert n_checked == 1
    assert [str(p) for p in problems] == (
        ["f.csv, column dose_gy, row 4 (1 rows): expected A title (made/up). Do."] if rejected else []
    )


def test_a_stop_rule_that_cannot_run_lets_nothing_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = simple(severity="stop", table="staged.fractions", fails_when="no_such_function(t.dose_gy)")
    monkeypatch.setattr("pipelines.rules.load.load_rules", lambda **_: [broken])
    with closing(warehouse.memory()) as con:
        declare_staged(con, tmp_path)
        path = tmp_path / "_declared" / "received.parquet"
        con.execute(f"create table received as from '{path}'")
        con.execute(f"insert into received (centre) values ('a'); copy received to '{path}' (format parquet)")
    with pytest.raises(MappingError, match="made/up"):
        stop_rules(tmp_path / "_declared")


def test_what_staging_found_is_worded_by_its_rule(con: duckdb.DuckDBPyConnection) -> None:
    staging = [r for r in RULES if r.raised_by]
    con.execute("insert into staged.received by name select unnest(['a', 'b']) as centre, 10 as n_rows")
    con.execute("""
        insert into staged.findings by name
        select 'a' as centre, 'labs' as table_name, 'S-001|x' as record_key, 'Sesso' as field, '9' as value_received,
            'one of M, F' as expected, 'structure/unmapped_code' as rule_id, 'f.csv' as source_file, '4' as source_row
    """)
    run_rules(con, staging)
    assert con.execute("""
        select table_name, field, outcome, source_row, message from validated.rule_failures
    """).fetchall() == [
        ("staged.labs", "Sesso", "fail", "4",
         "The field Sesso holds '9', which is not in the agreed list. We expected: one of M, F."),
    ]  # fmt: skip
    status = "select centre, status from validated.rule_counts where rule_id = 'structure/unmapped_code' order by all"
    assert con.execute(status).fetchall() == [("a", "fail"), ("b", "pass")]


@pytest.mark.parametrize(("name", "value", "expected", "words"), [
    ("duplicate_record", "L1", "one record per patient, les; we kept that of d.csv, row 2",
     ("(f: L1)", "un record per paziente, les; abbiamo tenuto quello di d.csv, riga 2")),
    ("duplicate_record", None, "one record per patient; we kept that of d.csv, row 2", ("di una volta;", "riga 2")),
    ("unreadable_date", "31/02/14", "a date that exists, as DD/MM/YY or DD/MM/YYYY",
     ("un giorno che non esiste", "una data che esiste, nella forma GG/MM/AA oppure GG/MM/AAAA.")),
    ("unreadable_date", "1900-01-01", "a date after 1900-02-28, as YYYY-MM-DD",
     ("data vuota", "una data successiva al 1900-02-28, nella forma AAAA-MM-GG.")),
    ("unreadable_date", "x", "a date as YYYY-MM-DD", ("'x', che non si legge", "una data nella forma AAAA-MM-GG.")),
    ("partial_date", "2014", "a date as YYYY-MM-DD", ("una data nella forma AAAA-MM-GG.",)),
    ("damaged_id", None, "an identifier of 7 digits or more", ("un identificativo di 7 cifre o più.",)),
    ("damaged_id", None, "an identifier of 4 to 6 digits", ("un identificativo di 4 a 6 cifre.",)),
    ("damaged_id", None, "an identifier of digits alone", ("un identificativo di sole cifre.",)),
    ("damaged_id", None, "an identifier of the agreed form", ("un identificativo della forma concordata.",)),
])  # fmt: skip
def test_what_staging_found_is_told_in_italian(
    con: duckdb.DuckDBPyConnection, name: str, value: str | None, expected: str, words: tuple[str, ...]
) -> None:
    found = {"centre": "a", "table_name": "labs", "field": "f", "value_received": value, "expected": expected}
    con.execute(examples.row_sql("staged.findings", {**found, "rule_id": f"structure/{name}"}))
    run_rules(con, [r for r in RULES if r.raised_by], {"a": "it"})
    ((message,),) = con.execute("select local_message from validated.rule_failures").fetchall()
    assert all(word in message for word in words), message


@pytest.mark.parametrize(("reason", "english", "italian"), [
    ("target SD, non-target NA, new lesion no: SD; sum 43.0, nadir 42.0 on 2012-07-12: +1.0 mm, +2.4 %; baseline 48.0",
     "target SD, no non-target lesions, no new lesion: SD; sum 43.0, nadir 42.0 on 2012-07-12: +1.0 mm (+2.4 %); "
     "baseline 48.0",
     "target SD, nessuna lesione non target, nessuna lesione nuova: SD; somma 43.0, nadir 42.0 il 2012-07-12: +1.0 mm "
     "(+2.4 %); basale 48.0"),
    ("target NE, non-target NE, new lesion unequivocal: PD; 1 of 2 target lesions assessed; a size is missing, "
     "so that there is no sum to compare",
     "target NE, non-target NE, a new lesion: PD; 1 of 2 target lesions assessed; a size is missing, so that "
     "there is no sum to compare",
     "target NE, non target NE, una lesione nuova: PD; 1 di 2 lesioni target valutate; manca una misura, quindi "
     "non c'è una somma da confrontare"),
    ("L1: PR, 18.0 mm, baseline 30.0, nadir 30.0 on 2014-02-01: -12.0 mm, -40.0 %; L2: CR, absent",
     "L1: PR, 18.0 mm, baseline 30.0, nadir 30.0 on 2014-02-01: -12.0 mm (-40.0 %); L2: CR, absent",
     "L1: PR, 18.0 mm, basale 30.0, nadir 30.0 il 2014-02-01: -12.0 mm (-40.0 %); L2: CR, scomparsa"),
    ("L1: PR, not measurable; the radiotherapy centre saw: disappeared on bone scan, which counts as PR",
     "L1: PR, not measurable; the radiotherapy centre saw: disappeared on bone scan, which counts as PR",
     "L1: PR, non misurabile; per la radioterapia: scomparsa alla scintigrafia ossea, che vale come PR"),
    ("L1: CR, 9.5 mm, baseline 20.0, nadir 20.0 on 2015-01-20: -10.5 mm, -52.5 %; a node of normal size",
     "L1: CR, 9.5 mm, baseline 20.0, nadir 20.0 on 2015-01-20: -10.5 mm (-52.5 %); a node of normal size",
     "L1: CR, 9.5 mm, basale 20.0, nadir 20.0 il 2015-01-20: -10.5 mm (-52.5 %); linfonodo di dimensioni normali"),
    ("L1: PD, not measurable; the oncology centre saw: unequivocal_progression",
     "L1: PD, not measurable; the oncology centre saw: unequivocal progression",
     "L1: PD, non misurabile; per l'oncologia: progressione inequivocabile"),
    ("1 of 2 non-target lesions assessed; unequivocal progression of N1; back after complete response: N2",
     "1 of 2 non-target lesions assessed; unequivocal progression of N1; back after complete response: N2",
     "1 di 2 lesioni non target valutate; progressione inequivocabile di N1; ricomparsa dopo risposta completa: N2"),
    ("N3 (local_recurrence) is new, on bone scan alone, confirmed on 2014-05-02; N4 (node) may be new: node of "
     "12.0 mm, below 15 mm; N5 (lung) may be new: not stated as unequivocal",
     "N3 (local recurrence) is new, on bone scan alone, confirmed on 2014-05-02; N4 (lymph node) may be new: node of "
     "12.0 mm, below 15 mm; N5 (lung) may be new: not stated as unequivocal",
     "N3 (recidiva locale) è nuova, alla sola scintigrafia ossea, confermata il 2014-05-02; N4 (linfonodo) potrebbe "
     "essere nuova: linfonodo di 12.0 mm, sotto i 15 mm; N5 (polmone) potrebbe essere nuova: non indicata come "
     "inequivocabile"),
    ("L1: NE, not measurable; the radiotherapy centre saw: not_evaluable",
     "L1: NE, not measurable; the radiotherapy centre saw: not evaluable",
     "L1: NE, non misurabile; per la radioterapia: non valutabile"),
])  # fmt: skip
def test_a_reason_of_ours_is_told_in_the_words_of_a_centre(
    con: duckdb.DuckDBPyConnection, reason: str, english: str, italian: str
) -> None:
    told = con.execute("select reason_en($1), reason_it($1)", [reason]).fetchall()
    assert told == [(english, italian)]
    assert [escape_formula(text) for text in told[0]] == [english, italian], "nothing in it passes for a formula"


def test_a_response_that_differs_is_explained_by_what_decides_it(con: duckdb.DuckDBPyConnection) -> None:
    (rule,) = (r for r in RULES if r.rule_id == "recist/response_differs")
    derived = {
        "series": "first_line", "adt": "2014-03-01", "overall_response": "PD", "overall_reason": "whole",
        "target_reason": "sum 62", "nontarget_response": "PD", "nontarget_reason": "unequivocal progression of N1",
        "new_lesion": "NO", "new_lesion_reason": "no new lesion",
    }  # fmt: skip
    reported = {"rsdt": "2014-03-01", "overall_response": "SD"}
    for change, said in (
        ({}, "PD (whole; sum 62; unequivocal progression of N1)"),
        ({"nontarget_response": "NON-CR/NON-PD", "new_lesion": "UNEQUIVOCAL", "new_lesion_reason": "N2 (node) is new"},
         "PD (whole; sum 62; N2 (lymph node) is new)"),
    ):  # fmt: skip
        example = {**reported, "with": {"assessed.timepoint_responses": [{**derived, **change}]}}
        (found,) = examples.judge(con, rule, example)[1]
        assert found["expected"] == said


@pytest.mark.parametrize(("reason", "expected", "local_expected"), [
    ("the check character does not fit the study code", "the study code as it was issued",
     "il codice di studio come è stato assegnato"),
    ("the study code stands without a local identifier", "your own number of the patient beside the study code",
     "il vostro numero del paziente accanto al codice di studio"),
    ("one local identifier stands for two study codes",
     "one study code for each patient, and one patient for each study code",
     "un codice di studio per ogni paziente, e un paziente per ogni codice di studio"),
    ("the centres disagree on sex", "one patient, the same sex and birth year in both centres",
     "un solo paziente, con lo stesso sesso e anno di nascita nei due centri"),
])  # fmt: skip
def test_what_is_expected_of_a_study_code_follows_from_what_is_wrong_with_it(
    con: duckdb.DuckDBPyConnection, reason: str, expected: str, local_expected: str
) -> None:
    (rule,) = (r for r in RULES if r.rule_id == "linkage/conflict")
    (found,) = examples.judge(con, rule, {"link_state": "conflict", "link_reason": reason})[1]
    assert (found["expected"], found["local_expected"]) == (expected, local_expected)


def test_every_reason_that_is_translated_is_given_somewhere() -> None:
    """Or a changed text would silently be English again."""
    sql = " ".join(path.read_text(encoding="utf-8") for path in (study.ROOT / "sql" / "2_assessed").glob("*.sql"))
    composed = ("new lesion ", ": ")  # of a word and a code
    whole = [there for there in reasons()["it"] if len(there) > 20 and not there.startswith(composed)]
    pieces = [piece for there in whole for piece in re.split(r"\(.+?\)|\\d\+", there) if len(piece) > 4]
    assert pieces and [piece for piece in pieces if piece.strip(" ,") not in sql] == []


def test_a_finding_that_no_rule_describes_is_not_lost(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("insert into staged.findings by name select 'structure/new_kind' as rule_id")
    with pytest.raises(MappingError, match="structure/new_kind"):
        run_rules(con, RULES)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"severity": "quarry"}, r"severity: .*did you mean 'query'"),
        ({"table": "harmonised.fraction"}, r"line \d+, table: .*did you mean 'harmonised.fractions'"),
        (
            {"message": {"en": "{dose} is too high", "it": "dose eccessiva"}},
            r"fraction_dose.yaml, line \d+, message.en: \{dose\} is not a column of harmonised.fractions",
        ),
        (
            {"message": {"en": "{dose_gy} is too high", "it": "troppo alta"}},
            r"fraction_dose.yaml, line \d+, message.it: \{dose_gy\} stands in the other language only",
        ),
        ({"title": {"en": "One language"}}, r"fraction_dose.yaml, line 1, title: 'it' is missing"),
        ({"suggestion": "One text"}, "suggestion: expected object"),
        ({"examples": {"passes": [{"dose_gy": 1}]}}, "fails_when needs an example under `fails`"),
        ({"examples": {"passes": [{"dosis": 1}], "fails": [{"dose_gy": 50}]}}, "has no column 'dosis'"),
        ({"since": "9.9"}, r"since: protocol.yaml is at version \S+; there is no version 9.9 yet"),
        ({"fails_wen": "true"}, "'fails_wen' is not a word"),
    ],
)
def test_a_wrong_rule_file_is_refused_with_line_and_word(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    right = study.read_yaml(study.ROOT / "expectations" / "plausibility" / "fraction_dose.yaml")
    path = tmp_path / "plausibility" / "fraction_dose.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(right, sort_keys=False), encoding="utf-8")
    assert [r.rule_id for r in load_rules(tmp_path)] == ["plausibility/fraction_dose"]
    path.write_text(yaml.safe_dump({**right, **change}, sort_keys=False), encoding="utf-8")
    with pytest.raises(MappingError, match=said):
        load_rules(tmp_path)


def test_a_pass_reads_every_table_that_its_rules_name() -> None:
    """`reads` is what a run shows to the rules, so it must not fall short of the SQL."""
    named = {r.rule_id: tables_in(r) - {r.table, *r.reads, "study.protocol", *RECEIVED} for r in RULES}
    assert {rule_id: tables for rule_id, tables in named.items() if tables} == {}


def tables_in(rule: Rule) -> set[str]:
    return set(
        re.findall(r"\b(?:from|join) ((?:staged|harmonised|assessed|validated|study)\.\w+)", failing([rule], {}))
    )


def causes(rules: Iterable[Rule]) -> dict[str, set[str]]:
    """Rule -> the rules that it waits for, by name or by the table about which they ask."""
    asks = {r.rule_id: {r.rule_id} | ({r.table.split(".")[-1]} if r.severity != "note" else set()) for r in rules}
    return {r.rule_id: {one for one in asks if not asks[one].isdisjoint(r.waits_for)} for r in rules}


def test_no_rules_wait_for_each_other_in_a_circle() -> None:
    """Each would take back its question, and nobody would be asked."""
    TopologicalSorter(causes(RULES)).prepare()


def test_what_waits_for_fractions_waits_for_records_that_became_none() -> None:
    """A record under two contents is used in none of them: a course lacks the fraction, and nobody asks about that."""
    waiting = {r.rule_id for r in RULES if "fractions" in r.waits_for}
    assert waiting and waiting <= {r.rule_id for r in RULES if "structure/two_contents" in r.waits_for}


def test_a_circle_of_any_length_is_seen() -> None:
    ring = [simple(name=a, severity="note", waits_for=(f"made/{b}",)) for a, b in ("xy", "yz", "zx")]
    with pytest.raises(CycleError):
        TopologicalSorter(causes(ring)).prepare()
    TopologicalSorter(causes(ring[:-1])).prepare()


@pytest.mark.parametrize(
    ("rule_id", "example", "said"),
    [
        ("eligibility/oligo_progression", {"oligodt": "2014-09-01"}, "under pazopanib, whose first day is not known"),
        ("eligibility/oligo_progression", {"trtsdt": "2014-01-10"}, "show no progression; the study needs one between"),
        ("structure/orphan_fraction", {"fraction_no": 1}, "The record names no course or plan."),
        ("ctcae/grade", {"aedecod": "Fatigue"}, "The grade of fatigue is not given; CTCAE"),
        ("structure/reply_unknown_query", {"newest_fl": "Y", "epoch": 2}, "to a line without the number of a query."),
        ("structure/reply_unknown_query", {"newest_fl": "Y", "query_id": "Q2"}, "to Q2, which is no query of yours."),
    ],
)
def test_a_message_is_a_sentence_where_something_is_not_given(
    con: duckdb.DuckDBPyConnection, rule_id: str, example: Mapping[str, Any], said: str
) -> None:
    (rule,) = [r for r in RULES if r.rule_id == rule_id]
    _, found = examples.judge(con, rule, example)
    assert said in found[0]["message"]
