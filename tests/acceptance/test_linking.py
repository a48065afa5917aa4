"""Staged rows of invented centres through linking, rules and findings: each centre is asked at its own file and row."""

from collections.abc import Iterator
from contextlib import closing

import duckdb
import pytest

from pipelines import models, study, study_schema, warehouse
from pipelines.orchestration.take_in import TECHNICAL
from pipelines.rules.load import load_rules, table_columns
from pipelines.rules.run import run_rules

LINKED, SEX, MISTYPED, TWICE, DEATHS = (
    "RCC-ME1-001-M", "RCC-ME1-002-K", "RCC-ME1-003-X", "RCC-ME1-004-G", "RCC-ME1-005-E",
)  # fmt: skip
MODELS = ("links", "subjects", "lesions", "targets", "lesion_links", "followup")
ASKED = """
    select rule_id, usubjid, centre, source_file, source_row from validated.failing where rule_id in ({}) order by all
"""

Row = dict[str, object]
LINKS: list[Row] = [
    {"centre": "me1", "local_id": "1", "usubjid": LINKED, "sex": "M", "birth_year": 1950},
    {"centre": "rt1", "local_id": "a", "usubjid": LINKED, "sex": "M", "birth_year": 1950},
    {"centre": "me1", "local_id": "2", "usubjid": SEX, "sex": "M", "birth_year": 1951},
    {"centre": "rt1", "local_id": "b", "usubjid": SEX, "sex": "F", "birth_year": 1951},
    {"centre": "rt1", "local_id": "c", "usubjid": MISTYPED, "sex": "F", "birth_year": 1952},
    {"centre": "me1", "local_id": "4", "usubjid": TWICE, "link_token": "ab"},
    {"centre": "me2", "local_id": "4", "usubjid": "RCC-ME2-001-6", "link_token": "ab"},
    {"centre": "me1", "local_id": "5", "usubjid": DEATHS, "sex": "M", "birth_year": 1953},
    {"centre": "rt1", "local_id": "e", "usubjid": DEATHS, "sex": "M", "birth_year": 1953},
]
OTHERS: dict[str, list[Row]] = {
    "subjects": [{"centre": r["centre"], "usubjid": r["usubjid"]} for r in LINKS if str(r["centre"]).startswith("me")],
    "lesions": [{"centre": "me1", "usubjid": LINKED, "lesion_id": "L1", "anatomic_site": "bone"}],
    "targets": [
        {"centre": "rt1", "usubjid": LINKED, "target_id": "T1", "anatomic_site": "lung", "lesion_label": "L1"},
        {"centre": "rt1", "usubjid": LINKED, "target_id": "T2", "anatomic_site": "bone", "lesion_label": "L9"},
    ],
    "followup": [
        {"centre": "me1", "usubjid": DEATHS, "fudt": "2015-03-01", "death_dt": "2015-05-01"},
        {"centre": "rt1", "usubjid": DEATHS, "fudt": "2015-05-09", "death_dt": "2015-05-11"},
    ],
}


def declare(con: duckdb.DuckDBPyConnection, full_name: str) -> None:
    schema, name = full_name.split(".")
    kinds = table_columns(full_name) if name not in TECHNICAL or schema != "staged" else {}
    kinds = kinds or {c: "bigint" if c == "n_rows" else "varchar" for c in TECHNICAL[name].split(", ")}
    con.execute(f"create schema if not exists {schema}")
    con.execute(f"create table if not exists {full_name} ({', '.join(f'{c} {t}' for c, t in kinds.items())})")


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """The harmonised tables of the invented rows, and the findings of the linkage rules."""
    rules = [r for r in load_rules() if r.family == "linkage"]
    with closing(warehouse.memory()) as con:
        study_schema.create_schema(con)
        units = "('me1', 'oncology'), ('me2', 'oncology'), ('rt1', 'radiotherapy')"
        con.execute(f"create table study.centres as from (values {units}) t(centre, centre_kind)")
        for table, rows in {"links": LINKS, **OTHERS}.items():
            declare(con, f"staged.{table}")
            for number, row in enumerate(rows, 2):
                place = {"source_file": f"{row['centre']}_{table}.csv", "source_row": str(number)}
                values = ", ".join(f"{study.sql_literal(v)} as {c}" for c, v in {**row, **place}.items())
                con.execute(f"insert into staged.{table} by name select {values}")
        con.execute("create schema harmonised")
        for name in MODELS:
            con.execute(f"create table harmonised.{name} as {models.load()[f'harmonised.{name}'].sql}")
        for table in ("staged.received", "staged.findings", *(t for r in rules for t in (r.table, *r.reads))):
            declare(con, table)
        run_rules(con, rules)
        broken = con.execute("select rule_id from validated.rule_counts where status = 'error'").fetchall()
        assert broken == []
        con.execute(f"create table validated.failing as {models.load()['validated.failing'].sql}")
        yield con


def asked(con: duckdb.DuckDBPyConnection, *rule_ids: str) -> list[tuple[str, ...]]:
    return con.execute(ASKED.format(", ".join(study.sql_literal(f"linkage/{r}") for r in rule_ids))).fetchall()


def test_a_conflict_is_asked_of_every_centre_that_sends_the_code(con: duckdb.DuckDBPyConnection) -> None:
    assert asked(con, "conflict") == [
        ("linkage/conflict", SEX, "me1", "me1_links.csv", "4"),
        ("linkage/conflict", SEX, "rt1", "rt1_links.csv", "5"),
        ("linkage/conflict", MISTYPED, "rt1", "rt1_links.csv", "6"),
        ("linkage/conflict", TWICE, "me1", "me1_links.csv", "7"),
        ("linkage/conflict", "RCC-ME2-001-6", "me2", "me2_links.csv", "8"),
    ]


def test_only_linked_subjects_go_on(con: duckdb.DuckDBPyConnection) -> None:
    states = con.execute("select usubjid, link_state, rtsiteid from harmonised.subjects order by all").fetchall()
    assert states == [
        (LINKED, "linked", "rt1"), (SEX, "conflict", "rt1"), (TWICE, "conflict", None), (DEATHS, "linked", "rt1"),
        ("RCC-ME2-001-6", "conflict", None),
    ]  # fmt: skip


def test_a_lesion_at_another_site_is_asked_of_both_and_an_unknown_label_of_who_sent_it(
    con: duckdb.DuckDBPyConnection,
) -> None:
    assert asked(con, "target_site_differs", "lesion_site_differs", "target_lesion_unknown") == [
        ("linkage/lesion_site_differs", LINKED, "me1", "me1_lesions.csv", "2"),
        ("linkage/target_lesion_unknown", LINKED, "rt1", "rt1_targets.csv", "3"),
        ("linkage/target_site_differs", LINKED, "rt1", "rt1_targets.csv", "2"),
    ]


def test_dates_of_death_that_differ_are_asked_of_both_and_tell_no_date_of_the_partner(
    con: duckdb.DuckDBPyConnection,
) -> None:
    deaths = ("death_dates", "death_before_visit_elsewhere", "visit_after_death_elsewhere")
    assert asked(con, *deaths) == [
        ("linkage/death_before_visit_elsewhere", DEATHS, "me1", "me1_followup.csv", "2"),
        ("linkage/death_dates", DEATHS, "me1", "me1_followup.csv", "2"),
        ("linkage/death_dates", DEATHS, "rt1", "rt1_followup.csv", "3"),
        ("linkage/visit_after_death_elsewhere", DEATHS, "rt1", "rt1_followup.csv", "3"),
    ]
    told = con.execute(
        "select centre, concat_ws(' ', message, expected, value_received) from validated.failing where usubjid = $who",
        {"who": DEATHS},
    ).fetchall()
    partner = {"me1": ("2015-05-09", "2015-05-11"), "rt1": ("2015-03-01", "2015-05-01")}
    assert not [text for centre, text in told for day in partner[centre] if day in text]
