"""One SQL text, any slice: a full run and any sequence of partial runs end in equal tables."""

import random
import shutil
from pathlib import Path

import pytest

from pipelines import models, study
from pipelines.warehouse import Home
from tests.acceptance import line


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[tuple[object, ...]]]]:
    """The reference study made in one go: its home and its tables."""
    root = tmp_path_factory.mktemp("whole")
    reference = study.ROOT / "examples" / "reference_study"
    con = line.made_from(reference / "cohort.csv", reference / "lesions.csv", root)
    return root, {name: line.content(con, name) for name in study.tables() if name != "reports.exact_limits"}


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


def test_a_subject_that_left_a_centre_leaves_its_tables(
    whole: tuple[Path, dict[str, list[tuple[object, ...]]]], tmp_path: Path
) -> None:
    """A crosswalk without one subject: that one is unlinked and no longer assessed; nobody else changes."""
    root, expected = whole
    home = Home(tmp_path / "home")
    shutil.copytree(root / "staged", home.staged)
    con = line.open_study(home)
    line.make(con)
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


def test_shares_of_the_subjects_end_in_equal_tables(
    whole: tuple[Path, dict[str, list[tuple[object, ...]]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cohort too large for the memory is made share by share, anew and where a delivery touched it."""
    root, expected = whole
    monkeypatch.setattr(models, "AT_ONCE", 5)
    home = Home(tmp_path / "home")
    shutil.copytree(root / "staged", home.staged)
    con = line.open_study(home)
    line.make(con)
    n_subjects = con.execute("select count(distinct usubjid) from store.harmonised.links").fetchall()[0][0]
    assert n_subjects % 5, "the last share is a small one"
    assert len(models.shares(con, models.load()["assessed.adtr"])) == n_subjects // 5 + 1
    for name, rows in expected.items():
        assert line.content(con, name) == rows, name
    line.make(con, ["rt1", "me2"])
    for name, rows in expected.items():
        assert line.content(con, name) == rows, name
