"""`restage trace` over the reference study: every endpoint and every cell of Table II ends in a hospital's own text."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from pipelines import models, study
from pipelines.cli.trace import trace as command
from pipelines.errors import UsageError
from pipelines.trace import address, cells, show, trace
from pipelines.trace.chain import Steps, open_trace, recorded, steps
from pipelines.trace.landed import Record, records
from pipelines.trace.rows import Row, columns_of, words_of
from pipelines.trace.witness import witnesses
from pipelines.warehouse import Home

if TYPE_CHECKING:
    from tests.conftest import Restage

ADTTE = "derived.adtte"
DATES = ("startdt", "adt")


def spellings(day: date) -> set[str]:
    """A date in each centre's own writing, the serial number of a workbook among them."""
    written = {day.strftime(f) for f in ("%Y-%m-%d", "%Y%m%d", "%d/%m/%Y", "%d/%m/%y", "%d.%m.%Y", "%d-%m-%Y")}
    return written | {str((day - date(1899, 12, 30)).days)}


def holds(record: Record, day: date) -> bool:
    """Whether the record says the date; in a transactional export what was said of it before counts as well."""
    said = [record.cells, *(cells for _, _, cells in record.changes)]
    return any(text.startswith(s) for cells in said for text in cells.values() for s in spellings(day))


def below(found: Steps, row: Row) -> Iterator[Row]:
    """A row and all that it needs."""
    return iter(trace.Trace((row,), found, {}).reached(row))


@pytest.fixture(scope="module")
def con(demo_home: Path) -> "duckdb.DuckDBPyConnection":
    return open_trace(Home(demo_home))


def keys(con: "duckdb.DuckDBPyConnection", table: str, where: str = "true") -> list[Row]:
    listed = ", ".join(f'"{c}"::varchar' for c in study.tables()[table].key)
    return [Row(table, tuple(k)) for k in con.execute(f"select {listed} from store.{table} where {where}").fetchall()]


@pytest.fixture(scope="module")
def times(con: "duckdb.DuckDBPyConnection", demo_home: Path) -> tuple[Steps, dict[Row, Record]]:
    """Every endpoint of every subject, traced at once."""
    found = steps(con, {row: columns_of(ADTTE) for row in keys(con, ADTTE)})
    return found, records(con, Home(demo_home), found.values())


def test_every_endpoint_ends_in_records_that_hold_its_dates(
    con: "duckdb.DuckDBPyConnection", times: tuple[Steps, dict[Row, Record]]
) -> None:
    found, ends = times
    rows = keys(con, ADTTE)
    assert len(rows) > 200
    lost = []
    for row in rows:
        values = found[row].values
        reached = [ends[r] for r in below(found, row) if r in ends]
        for name in DATES:
            if not any(holds(record, values[name]) for record in reached):
                lost.append((row.key, name))
        # the record that the row itself names is among them, and says the date of event or censoring
        named = [r for r in reached if f"{r.place[0]} {r.place[2]}:{r.place[3]}" == values["srcseq"]]
        if not any(holds(record, values["adt"]) for record in named):
            lost.append((row.key, values["srcseq"]))
    assert lost == []


def test_every_record_has_its_delivery_its_mapping_and_its_archived_file(
    times: tuple[Steps, dict[Row, Record]], demo_home: Path
) -> None:
    found, ends = times
    assert {step.row for step in found.values() if step.recorded} == ends.keys()
    for record in ends.values():
        assert record.archived
        assert (study.ROOT / record.mapping).is_file()
        assert (demo_home / "inbox" / record.place[0] / record.delivery).is_dir()
    # the line of a text file is the line of the file that was sent
    lined = [record for record in ends.values() if record.line is not None]
    assert lined
    for record in lined:
        path = demo_home / "inbox" / record.place[0] / record.delivery / record.place[2]
        sent = path.read_bytes().split(b"\n")[int(record.place[3]) - 1].rstrip(b"\r")
        assert sent in {record.line.encode(e) for e in ("utf-8", "utf-8-sig", "cp1252")}


def test_every_step_is_named_with_the_file_that_makes_it(times: tuple[Steps, dict[Row, Record]]) -> None:
    found, _ = times
    for step in found.values():
        made_by = show.file_of(step.row.table)
        assert made_by
        assert (study.ROOT / made_by).is_file()
        assert step.by_its_sql
    pfs = next(s for r, s in found.items() if r.table == ADTTE and r.key[1] == "PFS1")
    assert show.rule_files(pfs) == ["study/endpoints/pfs1.yaml"]
    assert pfs.protocol == {"days_per_month": "30.4375 day"}
    assert any("nadir" in sentence for step in found.values() for sentence in show.reasons(step))


def test_rows_of_every_table_by_subject_are_made_again(con: "duckdb.DuckDBPyConnection") -> None:
    """Also those that no endpoint needs; a table without rows in the reference study aside."""
    for name, model in models.load().items():
        if study.tables()[name].by == "subject" and not recorded(name):
            rows = keys(con, name)[:2]
            assert witnesses(con, model, {row: frozenset(columns_of(name)) for row in rows}).keys() == set(rows), name


def test_every_cell_of_table2_has_its_subjects_and_their_records(
    con: "duckdb.DuckDBPyConnection", demo_home: Path
) -> None:
    made = cells.Recount(con, "reports.table2")
    everybody = [s for (s,) in con.execute("select usubjid from store.derived.adsl order by all").fetchall()]
    named: dict[str, set[str]] = {}
    for row_key, usubjid in con.execute("select distinct row_key, usubjid from store.reports.table_sources").fetchall():
        named.setdefault(row_key, set()).add(usubjid)
    behind: dict[str, list[Row]] = {}
    for (row_key,) in con.execute("select row_key from store.reports.table2 order by row_no").fetchall():
        cell = cells.cell_at(con, f"table2/{row_key.replace('.', '/')}")
        subjects = made.counted(cell, everybody)
        assert set(subjects) == named[row_key], row_key
        # each adds as many as there are without it left out, and the shares are the whole
        shares = [made.value(cell, (s,)) for s in subjects]
        assert sum(shares) == cell.values["n"], row_key
        behind[row_key] = [row for s in subjects[:1] for t in made.sources for row in made.rows(cell, s, t)]
        assert behind[row_key], row_key
    found = steps(con, {row: () for rows in behind.values() for row in rows})
    ends = records(con, Home(demo_home), found.values())
    without = [key for key, rows in behind.items() if not any(r in ends for row in rows for r in below(found, row))]
    assert without == []


CELLS = {  # figures of the paper's tables and of those beside them: subjects behind each
    "table2/bone/PR": 7, "table1/histology/papillary": 2, "table3/tox_any/anemia": 3, "toxicity/anemia/n_grade34": 1,
    "response_by_anatomic_site/bone/n_pr": 7, "response_by_centre/me1/after_srt/n_pr": 3,
    "pfs_summary/PFS1/n_event": 28,
}  # fmt: skip


@pytest.mark.parametrize("address", CELLS)
def test_a_figure_leads_to_its_subjects(con: "duckdb.DuckDBPyConnection", address: str) -> None:
    cell = cells.cell_at(con, address)
    behind = cells.behind(con, cell)
    assert len(behind.subjects) == CELLS[address]
    assert behind.all_of_them
    assert all(rows for rows in behind.subjects.values())
    assert all(behind.columns.values())


def test_a_query_leads_to_its_rule_its_row_and_the_record(con: "duckdb.DuckDBPyConnection", demo_home: Path) -> None:
    for query_id, rule_id, source_row in con.execute(
        "select query_id, rule_id, source_row from store.validated.findings order by all"
    ).fetchall():
        found = trace.trace_query(Home(demo_home), query_id)
        told = "\n".join(found.lines())
        assert f"expectations/{rule_id}.yaml" in told
        if source_row != "0":  # else a file that did not come
            assert any(record.place[3] == source_row for record in found.records.values()), rule_id
            assert "as it came: " in told


# what a figure may not lead to, and what is said then
NO_WAY = re.compile(
    "is reckoned from other report|holds no figure of its own|from what each delivery held|is not about"
)


@pytest.mark.long
@pytest.mark.parametrize("table", study.tables())
def test_a_row_of_every_table_leads_somewhere_or_it_is_said_why_not(
    con: "duckdb.DuckDBPyConnection", demo_home: Path, table: str
) -> None:
    """And the figure of every report table, named by the words of its row."""
    for row in keys(con, table)[:1]:
        ways = [partial(trace.trace_rows, Home(demo_home), table, address.written(row))]
        if table.startswith("reports."):
            at = "/".join((table.split(".")[1], *words_of(table, cells.row_values(con, row))))
            ways.append(partial(trace.trace_cell, Home(demo_home), at))
        for way in ways:
            try:
                found = way()
            except UsageError as error:
                assert NO_WAY.search(str(error)), error
            else:
                assert len(list(found.lines())) > 1
                assert found.data()["steps"] or found.cell


def test_a_figure_of_a_column_that_is_no_text_leads_on(demo_home: Path) -> None:
    found = trace.trace_cell(Home(demo_home), "exposure/drug/days_off")
    assert found.cell and len(list(found.lines())) > 1


def test_a_settled_query_leads_to_its_row(tmp_path: Path, demo_home: Path) -> None:
    """It is no finding any more: the query itself says what it was about."""
    home = Home(tmp_path)
    for part in ("landed", "archive"):
        (home.root / part).symlink_to(demo_home / part)
    shutil.copy(Home(demo_home).database, home.database)
    with closing(duckdb.connect(home.database)) as own:
        asked = "select query_id, rule_id from validated.findings where usubjid is not null and source_row <> '0'"
        query_id, rule_id = own.execute(f"{asked} order by all").fetchall()[0]
        own.execute("delete from validated.findings where query_id = ?", [query_id])
    told = "\n".join(trace.trace_query(home, query_id).lines())
    assert f"expectations/{rule_id}.yaml" in told and "as it came: " in told


def run(restage: "Restage", home: Path, *arguments: str) -> tuple[int, str, str]:
    done = restage("trace", "--home", home, *arguments)
    return done.returncode, done.stdout, done.stderr


def test_the_command_tells_a_row_as_text_and_as_data(restage: "Restage", demo_home: Path) -> None:
    code, told, _ = run(restage, demo_home, "--table", "adtte", "--key", "RCC-ME1-007-A/PFS1")
    assert code == 0
    for part in (
        "sql/4_derived/adtte.sql · study/endpoints/pfs1.yaml", "sum 60.5, nadir 42.5 on 2014-05-03",
        "trdt 2015-11-25  <-  mea_date = '2015-11-25'", "file ME1_DATA.csv, row 233", "sha256 ",
        "as it came: 7,measurements,33,",
    ):  # fmt: skip
        assert part in told
    code, told, _ = run(restage, demo_home, "--table", "adtte", "--key", "RCC-ME1-007-A/PFS1", "--json")
    data: dict[str, Any] = json.loads(told)
    by_id = {step["id"]: step for step in data["steps"]}
    assert (code, data["roots"]) == (0, ["derived.adtte RCC-ME1-007-A/PFS1"])
    assert all(need in by_id for step in data["steps"] for need in step["needs"])
    ends = [step for step in data["steps"] if step["record"]]
    assert all(step["record"]["cells"] for step in ends)
    assert "2015-11-25" in {step["record"]["cells"].get("mea_date") for step in ends}


WRONG = {
    ("--table", "derived.adtee", "--key", "x"): "did you mean 'derived.adtte'",
    ("--table", "adtte", "--key", "RCC-ME1-007-B/PFS1"): "did you mean 'RCC-ME1-007-A/PFS1'",
    ("--table", "adtte", "--key", "RCC-ME1-007-A/LOCALCTRL"): "RCC-ME1-007-A/LOCALCTRL/L1",
    ("--cell", "table2/bona/PR"): "did you mean 'bone'",
    ("--cell", "table1/sex/age"): "no row for sex and age together",
    ("--cell", "table2/bone"): "table2/srt/bone/pr",
    ("--cell", "adsl/x"): "no report table",
    ("--cell", "/"): "table2/bone/PR",
    ("--cell", "reconciliation/claim_pr_all_sites"): "no figure of its own",
    ("--cell", "centre_figures/me1"): "fits several rows",
    ("--query", "Q000"): "No query is called",
    ("--subject", "RCC-ME1-007-B"): "did you mean 'RCC-ME1-007-A'",
    (): "One of these is expected",
    ("--table", "adtte"): "--table with --key",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage_is_said_in_plain_words(demo_home: Path, arguments: tuple[str, ...]) -> None:
    named = {name.lstrip("-"): value for name, value in zip(arguments[::2], arguments[1::2], strict=True)}
    with pytest.raises(UsageError) as error:
        command(**named, home=demo_home)
    assert WRONG[arguments] in str(error.value)


def test_wrong_usage_ends_with_exit_code_2(restage: "Restage", demo_home: Path) -> None:
    code, told, error = run(restage, demo_home, "--table", "adtee", "--key", "x")
    assert (code, told, error) == (2, "", "restage: No table is called 'adtee'; did you mean 'adtte'?\n")


PAGE = study.ROOT / "docs" / "how-to" / "trace.md"


def shown() -> list[str]:
    """The commands of the how-to."""
    return [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("restage trace ")]


@pytest.mark.parametrize("line", shown())
def test_the_how_to_holds(restage: "Restage", demo_home: Path, line: str) -> None:
    code, told, error = run(restage, demo_home, *line.split()[2:])
    assert code == 0, error
    assert told.strip()
    page = PAGE.read_text(encoding="utf-8")
    block = page.split(f"{line}\n", 1)[1].split("```", 1)[0]
    for text in (text.strip() for text in block.splitlines() if text.strip() not in ("", "...")):
        assert text in told, text


def test_the_report_leads_to_each_subject_and_its_records(demo_home: Path, con: "duckdb.DuckDBPyConnection") -> None:
    folder = demo_home / "reports" / "study"
    page = (folder / "subjects.html").read_text(encoding="utf-8")
    sources = (folder / "sources.html").read_text(encoding="utf-8")
    assert 'href="subjects.html"' in (folder / "report.html").read_text(encoding="utf-8")
    subjects = con.execute("select usubjid from store.derived.adsl where eligible_fl = 'Y'").fetchall()
    for (usubjid,) in subjects:
        assert f'id="{usubjid}"' in page
        assert f'href="subjects.html#{usubjid}"' in sources
    for seq, sha in con.execute("""
        select distinct a.srcseq, f.file_sha256 from store.derived.adtte a
        join store.harmonised.measurements f
            on a.srcseq = printf('%s %s:%s', f.centre, f.source_file, f.source_row)
    """).fetchall():
        assert f"<td>{seq}<br>" in page
        assert sha in page
    assert "restage trace --cell table2/srt/bone/PR" in sources
    assert "://" not in page
