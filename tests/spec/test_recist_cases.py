"""RECIST case by case, as a radiologist would write it down: `tests/spec/recist/*.md`, read by the study's own SQL.

A case is a heading, a line that begins with `Source:`, and a table: days from the start of the drug as columns, lesions
as rows (`target T1 liver`), the expected responses as the last rows. A blank cell: nothing was sent for that lesion. A
best response stands in the column of its date. `if sd_after_pr is sd` after a response: by that reading of the switch.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines import alternatives, study
from pipelines.recist.assess import WITHOUT, assess, open_store

HERE = Path(__file__).resolve().parent / "recist"
START = date(2014, 1, 1)
EMPTY = (*WITHOUT, "harmonised.restagings", "harmonised.responses")
MADE = ("assessed.adrs", "assessed.target_sums", alternatives.CONCERNED)
LESION = re.compile(r"(target|non-target|new) (\S+) (\w+)(, not measurable)?$")
STATES = {
    "not done": "not_assessed", "absent": "absent", "too small": "too_small", "progression": "unequivocal_progression",
    "present": "present", "unequivocal": "unequivocal", "equivocal": "equivocal",
}  # fmt: skip
METHODS = {"bone scan": "bone_scan", "x-ray": "xray", "caliper": "caliper"}
BEST = {"BESTRESP": "BOR", "CBRESP": "CBOR"}
VISIT = {"TRGRESP", "NTRGRESP", "NEWLPROG", "OVRLRESP", "OVRLPRT", "INFIELD"}
READING = re.compile(r"(\w+)(?: if (\w+) is (\w+))?$")


@dataclass(frozen=True)
class Case:
    """One subject; `rows`: label and cells by day."""

    subject: str
    title: str
    source: str
    days: tuple[int, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def parse(path: Path) -> list[Case]:
    """The cases of a file."""
    found = []
    for number, block in enumerate(("\n" + path.read_text(encoding="utf-8")).split("\n## ")[1:], 1):
        title, *lines = [line.strip() for line in block.strip().splitlines() if line.strip()]
        table = [tuple(c.strip() for c in line.strip("|").split("|")) for line in lines if line.startswith("|")]
        source = next((line for line in lines if line.startswith("Source: ")), "")
        head, _, *rows = table
        days = tuple(int(d) for d in head[1:])
        found.append(Case(f"{path.stem}-{number:02}", title, source, days, tuple((r[0], r[1:]) for r in rows)))
    return found


CASES = [case for path in sorted(HERE.glob("*.md")) for case in parse(path)]


def look(cell: str) -> dict[str, Any]:
    """Size, state, method, slices, delay of one cell: `12`, `too small`, `present bone scan`, `18 slice 8`, `9 +5`."""
    found: dict[str, Any] = {"diameter_mm": None, "lesion_state": None, "method": "ct", "slice_mm": None, "late": 0}
    if late := re.search(r"\+(\d+)$", cell):
        found["late"], cell = int(late[1]), cell[: late.start()].strip()
    if thick := re.search(r"slice (\d+)$", cell):
        found["slice_mm"], cell = thick[1], cell[: thick.start()].strip()
    for name, code in METHODS.items():
        if cell.endswith(name):
            found["method"], cell = code, cell.removesuffix(name).strip()
    for name, code in STATES.items():
        if cell.endswith(name):
            found["lesion_state"], cell = code, cell.removesuffix(name).strip()
            break
    if cell:
        assert re.fullmatch(r"\d+(\.\d+)?", cell), cell
        found["diameter_mm"] = cell
    return found


def insert(con: duckdb.DuckDBPyConnection, rows: list[tuple[str, dict[str, Any]]]) -> None:
    """Rows by table, each with the columns that it names."""
    for table in {name for name, _ in rows}:
        given = [row for name, row in rows if name == table]
        columns = sorted({c for row in given for c in row})
        listed = ", ".join("(" + ", ".join(study.sql_literal(row.get(c)) for c in columns) + ")" for row in given)
        con.execute(f"insert into store.{table} ({', '.join(columns)}) values {listed}")


def load(con: duckdb.DuckDBPyConnection, cases: Iterable[Case]) -> None:
    insert(con, [row for case in cases for row in rows_of(case)])


def rows_of(case: Case) -> Iterator[tuple[str, dict[str, Any]]]:
    """The subject of a case as harmonised rows."""
    dates: dict[str, Any] = {"usubjid": case.subject, "trtsdt": START}
    sites: dict[str, str] = {}
    for label, cells in case.rows:
        if lesion := LESION.match(label):
            role, lesion_id, site, unmeasurable = lesion.groups()
            assert site in study.codelist("anatomic_site"), site
            sites[lesion_id] = site
            flag = "N" if unmeasurable else "Y"
            yield ("harmonised.lesions", {
                "usubjid": case.subject, "lesion_id": lesion_id, "lesion_role": role.replace("-", "_"),
                "anatomic_site": site, "measurable_fl": flag,
            })  # fmt: skip
            for visitnum, (day, cell) in enumerate(zip(case.days, cells, strict=True)):
                if cell:
                    found = look(cell)
                    late = found.pop("late")
                    yield ("harmonised.measurements", {
                        "usubjid": case.subject, "lesion_id": lesion_id, "visitnum": visitnum,
                        "trdt": START + timedelta(day + late), **found,
                    })  # fmt: skip
        elif label.startswith("irradiated "):
            lesion_id = label.split()[1]
            day = next(d for d, c in zip(case.days, cells, strict=True) if c)
            dates["rtstdt"] = START + timedelta(day + 1)
            yield ("assessed.irradiated_lesions", {
                "usubjid": case.subject, "lesion_id": lesion_id, "anatomic_site": sites[lesion_id], "rtsiteid": "RT",
                "measurable_fl": flag, "target_id": lesion_id, "first_fraction_dt": dates["rtstdt"],
            })  # fmt: skip
        elif label.startswith("restaging "):
            for day, cell in zip(case.days, cells, strict=True):
                if cell:
                    finding, _, method = cell.partition(" by ")
                    yield ("harmonised.restagings", {
                        "usubjid": case.subject, "target_id": label.split()[1], "centre": "RT", "finding": finding,
                        "rsdt": START + timedelta(day), "method": METHODS[method], "restaging_fl": "Y",
                    })  # fmt: skip
        elif label == "new therapy":
            day = next(d for d, c in zip(case.days, cells, strict=True) if c)
            dates["next_therapy_dt"] = START + timedelta(day)
    yield ("assessed.subject_dates", dates)


@cache
def assessed(switch: str | None = None, reading: str | None = None) -> duckdb.DuckDBPyConnection:
    """All cases in one study, by the readings of the protocol or with one of them replaced."""
    options = {s: r for s, known in study.readings().items() if s == switch for r in known if str(r) == reading}
    assert not switch or options, f"{switch} has no reading {reading}"
    con = open_store(options, EMPTY)
    load(con, CASES)
    assess(con, MADE)
    return con


def found(case: Case, label: str) -> list[str]:
    """The derived row for an expected one: a cell per day."""
    name, switch, reading = READING.match(label).groups()  # type: ignore[union-attr]
    con = assessed(switch, reading)
    if name in BEST:
        sql = f"select avalc, adt from store.assessed.adrs where usubjid = ? and paramcd = '{BEST[name]}'"
    elif name in VISIT:
        sql = f"select avalc, adt from store.assessed.adrs where usubjid = ? and paramcd = '{name}'"
    else:
        column = {"SUM": "sum_mm", "NADIR": "nadir_mm"}[name]
        sql = f"""select rtrim(rtrim({column}::varchar, '0'), '.'), adt from store.assessed.target_sums
            where series = 'first_line' and usubjid = ?"""
    by_day = {(adt - START).days if adt else 0: value for value, adt in con.execute(sql, [case.subject]).fetchall()}
    return [by_day.get(day) or "" for day in case.days]


def expected_rows(case: Case) -> list[tuple[str, tuple[str, ...]]]:
    names = {*BEST, *VISIT, "SUM", "NADIR"}
    return [(label, cells) for label, cells in case.rows if label.split()[0] in names]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.subject}: {c.title}")
def test_case(case: Case) -> None:
    assert case.source, "a line `Source: …` that says which sentence the case holds"
    rows = expected_rows(case)
    assert rows
    assert {label: found(case, label) for label, _ in rows} == {label: list(cells) for label, cells in rows}


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 60


def test_every_reading_of_every_switch_is_shown() -> None:
    """Under each switch the other reading differs from the first in at least one case."""
    shown = {
        m.groups()[1:] for case in CASES for label, _ in expected_rows(case) if (m := READING.match(label)) and m[2]
    }
    assert shown == {(switch, str(r)) for switch, known in study.readings().items() for r in known[1:]}


@pytest.mark.parametrize(
    ("switch", "reading"), [(s, str(r)) for s, known in study.readings().items() for r in known[1:]]
)
def test_alternatives_hold_what_the_other_reading_changes(switch: str, reading: str) -> None:
    """The table, derived for few subjects and from stored tables, equals a whole study under the other reading."""
    con, other = assessed(), assessed(switch, reading)
    alternatives.derive(con)
    kept = alternatives.KEPT
    rows = f"select {kept} from store.assessed.adrs"
    expected = {*other.execute(rows).fetchall()} - {*con.execute(rows).fetchall()}
    query = f"select {kept} from store.{alternatives.TABLE} where switch = ? and reading = ?"
    assert {*con.execute(query, [switch, reading]).fetchall()} == expected
    assert expected
