"""Independent readers: the cases of RECIST as somebody else reads them, and one whom centre and reader see apart."""

from functools import cache
from typing import Any

import duckdb
import pytest

from pipelines import independent, models
from pipelines.recist.assess import assess, open_store
from tests.spec.test_recist_cases import CASES, EMPTY, Case, insert, rows_of

READER = {"eval": "INDEPENDENT ASSESSOR", "evalid": "RADIOLOGIST 1"}
SECOND = {"eval": "INDEPENDENT ASSESSOR", "evalid": "RADIOLOGIST 2"}
TARGETS = ("harmonised.fractions", "harmonised.courses")
KEPT = "usubjid, paramcd, adt, avalc, reason"
# a subject as two see it: the centre follows L1, the reader two lesions of other names, and progression a visit earlier
APART = """
usubjid | reader        | lesion_id | anatomic_site | sizes
S1      | -             | L1        | liver         | 40 40 52
S1      | RADIOLOGIST 1 | A         | liver         | 40 48 52
S1      | RADIOLOGIST 1 | L1        | lung          | 20 26 26
S1      | RADIOLOGIST 2 | A         | liver         | 40 28 28
"""


def as_read(rows: list[tuple[str, dict[str, Any]]], reader: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """Lesions and measurements as rows of a reader."""
    return [(independent.OWN[name], row | reader) for name, row in rows if name in independent.OWN]


def not_irradiated(case: Case) -> bool:
    return not any(label.startswith("irradiated ") for label, _ in case.rows)


@cache
def read_twice() -> duckdb.DuckDBPyConnection:
    """Every case of somebody who was not irradiated, by the centre and by two readers, the second upside down."""
    con = open_store({}, (*EMPTY, *independent.OWN.values(), *TARGETS))
    rows = [row for case in CASES if not_irradiated(case) for row in rows_of(case)]
    insert(con, [*rows, *as_read(rows, READER), *reversed(as_read(rows, SECOND))])
    assess(con, (independent.RESPONSES,))
    independent.derive(con)
    return con


@pytest.mark.parametrize("reader", [READER, SECOND], ids=lambda r: r["evalid"])
def test_equal_measurements_give_equal_responses_and_reasons(reader: dict[str, str]) -> None:
    con = read_twice()
    own = con.execute(
        f"select {KEPT} from store.{independent.RESPONSES} where paramcd in {independent.PARAMETERS} order by all"
    ).fetchall()
    theirs = con.execute(
        f"select {KEPT} from store.{independent.TABLE} where evalid = ? order by all", [reader["evalid"]]
    ).fetchall()
    assert len({row[0] for row in own}) > 50
    assert theirs == own


def read_apart() -> duckdb.DuckDBPyConnection:
    """The subject of APART."""
    con = open_store({}, (*EMPTY, *independent.OWN.values(), *TARGETS))
    days = ("2014-01-01", "2014-03-01", "2014-06-01")
    for line in APART.strip().splitlines()[1:]:
        subject, reader, lesion, site, sizes = (cell.strip() for cell in line.split("|"))
        about = {"usubjid": subject, "lesion_id": lesion}
        rows: list[tuple[str, dict[str, Any]]] = [
            ("harmonised.lesions", about | {"lesion_role": "target", "anatomic_site": site, "measurable_fl": "Y"})
        ]
        for visit, (day, size) in enumerate(zip(days, sizes.split(), strict=True)):
            rows.append(("harmonised.measurements", about | {"visitnum": visit, "trdt": day, "diameter_mm": size}))
        insert(con, rows if reader == "-" else as_read(rows, READER | {"evalid": reader}))
    insert(con, [("assessed.subject_dates", {"usubjid": "S1", "trtsdt": "2014-01-02"})])
    assess(con, (independent.RESPONSES,))
    return con


def test_readers_are_assessed_each_alone_and_never_mixed() -> None:
    con = read_apart()
    before = con.execute(f"from store.{independent.RESPONSES} order by all").fetchall()
    independent.derive(con)
    assert con.execute(f"from store.{independent.RESPONSES} order by all").fetchall() == before
    found = con.execute(f"""
        select 'centre', adt::varchar, avalc from store.{independent.RESPONSES} where paramcd = 'OVRLRESP'
        union all select evalid, adt::varchar, avalc from store.{independent.TABLE} where paramcd = 'OVRLRESP'
        order by all
    """).fetchall()
    assert found == [
        ("RADIOLOGIST 1", "2014-03-01", "PD"), ("RADIOLOGIST 1", "2014-06-01", "PD"),
        ("RADIOLOGIST 2", "2014-03-01", "PR"), ("RADIOLOGIST 2", "2014-06-01", "PR"),
        ("centre", "2014-03-01", "SD"), ("centre", "2014-06-01", "PD"),
    ]  # fmt: skip


def test_a_label_of_the_radiotherapy_centre_is_no_label_of_a_reader() -> None:
    """L1, which was irradiated, is the centre's: liver. The reader's own L1 lies in the lung and is followed on."""
    con = read_apart()
    insert(con, [
        ("harmonised.targets", {"usubjid": "S1", "centre": "RT", "target_id": "T1", "course_id": "1",
                                "anatomic_site": "liver", "lesion_label": "L1"}),
        ("harmonised.courses", {"usubjid": "S1", "centre": "RT", "course_id": "1"}),
        ("assessed.delivered_courses", {"usubjid": "S1", "centre": "RT", "course_id": "1", "n_fractions": 5,
                                        "rtstdt": "2014-04-01"}),
    ])  # fmt: skip
    independent.derive(con)
    reasons = con.execute(f"""
        select reason from store.{independent.TABLE}
        where evalid = 'RADIOLOGIST 1' and paramcd = 'TRGRESP' and adt = '2014-06-01'
    """).fetchall()
    assert len(reasons) == 1 and reasons[0][0].startswith("1 of 2 target lesions assessed; sum 26.0"), reasons


def test_without_a_reader_nothing_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    con = open_store({}, (*EMPTY, *independent.OWN.values()))
    monkeypatch.setattr(independent, "_derive_some", lambda *_: pytest.fail("something was made"))
    assert independent.derive(con) == 0


def test_only_the_changed_subjects_are_read_again() -> None:
    con = read_twice()
    before = con.execute(f"from store.{independent.TABLE} order by all").fetchall()
    subject = before[0][0]
    con.execute("insert into slice.main.changed values (?)", [subject])
    con.execute(f"update store.{independent.TABLE} set avalc = 'overwritten' where usubjid = ?", [subject])
    independent.derive(con, only_touched=True)
    con.execute("delete from slice.main.changed")
    assert con.execute(f"from store.{independent.TABLE} order by all").fetchall() == before


def test_whatever_reads_lesions_or_sizes_is_made_again() -> None:
    """A new model between them and the responses joins the chain by itself."""
    names = [m.full_name for m in independent.chain()]
    assert {"assessed.visits", "assessed.adtr", "assessed.lesion_parts", "assessed.best_responses"} <= {*names}
    assert names[-1] == independent.RESPONSES
    loaded = models.load()
    assert all(d in independent.OWN or d in independent.reads() or d in names for n in names for d in loaded[n].deps)
    assert not {*independent.reads()} & independent.OWN.keys()
