"""One SQL text, any slice: a full run and any sequence of partial runs end in equal tables."""

import random
import re
import shutil
from pathlib import Path

import duckdb
import pytest

from pipelines import models, study, touched
from pipelines.orchestration.steps import load_steps
from pipelines.warehouse import Home
from tests.acceptance import line


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[tuple[object, ...]]]]:
    """The reference study made in one go: its home and its tables."""
    root = tmp_path_factory.mktemp("whole")
    reference = study.ROOT / "examples" / "reference_study"
    con = line.made_from(reference / "cohort.csv", reference / "lesions.csv", root)
    return root, {name: line.content(con, name) for name in study.tables() if name != "reports.exact_limits"}


def made(root: Path, folder: Path) -> tuple[Home, duckdb.DuckDBPyConnection]:
    """A home with the staged rows of another, and every table made from them in one go."""
    home = Home(folder)
    shutil.copytree(root / "staged", home.staged)
    con = line.open_study(home)
    line.make(con)
    return home, con


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_centres_that_come_one_after_the_other_end_in_equal_tables(
    whole: tuple[Path, dict[str, list[tuple[object, ...]]]], tmp_path: Path, seed: int
) -> None:
    root, expected = whole
    centres = sorted(p.name for p in (root / "staged").iterdir() if not p.name.startswith("_"))
    random.Random(seed).shuffle(centres)
    first, later = centres[:4], centres[4:]
    home = Home(tmp_path / "home")
    for centre in first:
        shutil.copytree(root / "staged" / centre, home.staged / centre)
    con = line.open_study(home)
    line.make(con)
    con.close()
    for centre in later:
        shutil.copytree(root / "staged" / centre, home.staged / centre)
        con = line.open_study(home)
        line.make(con, [centre])
        found = {name: line.content(con, name) for name in expected}
        con.close()
    for name, rows in expected.items():
        assert found[name] == rows, name


@pytest.mark.long
def test_a_subject_that_left_a_centre_leaves_its_tables(
    whole: tuple[Path, dict[str, list[tuple[object, ...]]]], tmp_path: Path
) -> None:
    """A crosswalk without one subject: that one is unlinked and no longer assessed; nobody else changes."""
    root, expected = whole
    home, con = made(root, tmp_path / "home")
    path = home.staged / "rt1" / "links.parquet"
    gone = con.execute(f"select min(usubjid) from '{path}'").fetchall()[0][0]
    con.execute(f"create temp table kept as from '{path}' where usubjid <> '{gone}'")
    con.execute(f"copy kept to '{path}' (format parquet)")
    line.make(con, ["rt1"])
    for name in ("assessed.adrs", "derived.adtte", "derived.adsl"):
        assert line.content(con, name) == [row for row in expected[name] if row[0] != gone], name
    assert con.execute(
        f"select distinct link_state from store.harmonised.links where usubjid = '{gone}'"
    ).fetchall() == [("unlinked",)]


@pytest.mark.long
def test_shares_of_the_subjects_end_in_equal_tables(
    whole: tuple[Path, dict[str, list[tuple[object, ...]]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cohort too large for the memory is made share by share, anew and where a delivery touched it."""
    root, expected = whole
    monkeypatch.setattr(models, "AT_ONCE", 5)
    _, con = made(root, tmp_path / "home")
    n_subjects = con.execute("select count(distinct usubjid) from store.harmonised.links").fetchall()[0][0]
    assert n_subjects % 5, "the last share is a small one"
    assert len(models.shares(con, models.load()["assessed.adtr"])) == n_subjects // 5 + 1
    for name, rows in expected.items():
        assert line.content(con, name) == rows, name
    line.make(con, ["rt1", "me2"])
    for name, rows in expected.items():
        assert line.content(con, name) == rows, name


def send_again(con: duckdb.DuckDBPyConnection, path: Path, change: str) -> None:
    """A staged file as the next delivery holds it: another delivery, and what else is different."""
    con.execute(f"create or replace temp table sent as select * replace ('again' as delivery_id) from '{path}'")
    con.execute(f"{change}; copy sent to '{path}' (format parquet)")


def marked(con: duckdb.DuckDBPyConnection) -> set[str]:
    return {usubjid for (usubjid,) in con.execute("from slice.main.changed").fetchall()}


@pytest.mark.long
def test_an_export_sent_again_costs_those_of_whom_something_changed(
    whole: tuple[Path, dict[str, list[tuple[object, ...]]]], tmp_path: Path
) -> None:
    """Rows tell the new delivery; nobody is assessed again but the one whose diameter was corrected, and all tables are
    what a full run makes of the same rows."""
    root, expected = whole
    home, con = made(root, tmp_path / "home")
    path = home.staged / "me1" / "measurements.parquet"
    send_again(con, path, "select 1")
    line.make(con, ["me1"])
    assert marked(con) == set()
    assert con.execute("select distinct delivery_id from store.assessed.adtr where centre = 'me1'").fetchall() == [
        ("again",)
    ]
    assert line.content(con, "assessed.adrs") == expected["assessed.adrs"]
    # what rests on nothing else is left as it is
    con.execute("truncate store.reports.table1")
    line.make(con, ["me1"])
    assert line.content(con, "reports.table1") == []

    ((corrected,),) = con.execute(f"""
        select min(usubjid) from (select usubjid from '{path}' where diameter_mm > 0 group by all having count(*) > 3)
    """).fetchall()
    send_again(con, path, f"update sent set diameter_mm = diameter_mm * 3 where usubjid = '{corrected}'")
    line.make(con, ["me1"])
    assert marked(con) == {corrected}
    found = {name: line.content(con, name) for name in expected}
    assert found["assessed.adrs"] != expected["assessed.adrs"]
    con.close()
    _, con = made(home.root, tmp_path / "anew")
    assert {name: line.content(con, name) for name in expected} == found


@pytest.mark.long
def test_a_rule_that_can_no_longer_be_judged_concerns_everybody(
    whole: tuple[Path, dict[str, list[tuple[object, ...]]]], tmp_path: Path
) -> None:
    """Eligibility of a subject whom no delivery touched changes with what is known about a rule."""
    root, _ = whole
    _, con = made(root, tmp_path / "home")
    ((rule,),) = con.execute(
        "select min(rule_id) from store.validated.rule_counts where severity = 'exclude'"
    ).fetchall()
    con.execute("insert into slice.main.rule_problems values (?, 'its example does not hold')", [rule])
    line.make(con, [])
    answers = con.execute("select distinct status from store.validated.eligibility").fetchall()
    assert set(answers) <= {("excluded",), ("undetermined",)}
    con.execute("delete from slice.main.rule_problems")
    line.make(con, [])
    assert con.execute("select count(*) from store.validated.eligibility where status = 'eligible'").fetchall() > [(0,)]


def test_what_is_left_out_when_nobody_changed_reads_nothing_of_a_delivery() -> None:
    """Else it would go on telling the delivery before."""
    left_out = [name for step in load_steps() if step.rests_on_subjects for name in step.makes]
    assert "reports.table1" in left_out
    assert "reports.survival_summary" in left_out
    assert "reports.centre_counts" not in left_out, "it reads what the centres sent"
    columns = re.compile(r"\b(" + "|".join(touched.DELIVERY) + r")\b")
    found = [name for name in left_out if name in models.load() and columns.search(models.load()[name].sql)]
    assert found == []
