"""A later delivery of an ODM centre that holds nothing but the changes since the snapshot stands on that snapshot."""

import shutil
from pathlib import Path

import pytest

from pipelines import study
from pipelines.centres import load
from pipelines.deliveries import ledger
from pipelines.deliveries.intake import intake
from pipelines.orchestration.take_in import TakenIn, take_in
from pipelines.simulate.simulate import simulate
from pipelines.warehouse import Home
from tests.centres.test_deliveries_over_time import REFERENCE, VANISHED
from tests.centres.test_deliveries_over_time import rows as rows_of_me1

CENTRE = load(study.ROOT / "centres" / "me3")


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export")
    simulate(out, REFERENCE / "cohort.csv", REFERENCE / "lesions.csv")
    (folder,) = (out / "inbox" / "me3").iterdir()
    return folder


def run(home: Home) -> TakenIn:
    intake(home, ["me3"])
    return take_in(home, CENTRE, tuple(d for d in ledger.read(home) if d.state == "received"), "1")


def deliver(home: Home, export: Path, name: str, *patterns: str) -> Path:
    folder = home.inbox / "me3" / name
    folder.mkdir(parents=True)
    for pattern in patterns:
        for path in export.glob(pattern):
            shutil.copy(path, folder)
    return folder


def staged(home: Home, table: str, where: str = "true") -> list[dict[str, object]]:
    link = home.root / "seen_as" / "staged"
    if not link.exists():
        link.mkdir(parents=True)
        (link / "me1").symlink_to(home.staged / "me3")
    return rows_of_me1(Home(home.root / "seen_as"), table, where)


def test_a_snapshot_and_its_changes_sent_apart_are_what_they_are_together(tmp_path: Path, export: Path) -> None:
    together, apart = Home(tmp_path / "together"), Home(tmp_path / "apart")
    deliver(together, export, "2017-01-01", "*.xml", "*.csv")
    deliver(apart, export, "2017-01-01", "*snapshot*.xml", "*.csv")
    snapshot = run(apart)
    deliver(apart, export, "2017-02-01", "*transactions*.xml")
    expected, found = run(together), run(apart)
    assert found.rejected == ()
    assert found.rows == expected.rows
    left_out = {"delivery_id", "_place", "_since", "_part"}
    for table in study.staged_tables():
        sides = [
            sorted(str({k: v for k, v in row.items() if k not in left_out}) for row in staged(home, table))
            for home in (together, apart)
        ]
        assert sides[0] == sides[1], table
    # what the changes removed is no question to the centre
    assert staged(apart, "findings", VANISHED) == []
    assert {row["change"] for row in staged(apart, "changes")} & {"removed", "added", "changed"}
    assert snapshot.delivery != found.delivery
    ids = {str(row["delivery_id"])[:14] for table in study.staged_tables() for row in staged(apart, table)}
    assert ids == {"me3-2017-01-01", "me3-2017-02-01"}


def test_a_file_of_the_same_name_is_told_apart(tmp_path: Path, export: Path) -> None:
    home = Home(tmp_path)
    first = deliver(home, export, "2017-01-01", "*snapshot*.xml", "*.csv")
    next(first.glob("*.xml")).rename(first / "ME3.xml")
    second = deliver(home, export, "2017-02-01", "*transactions*.xml")
    next(second.glob("*.xml")).rename(second / "ME3.xml")
    assert run(home).rejected == ()
    assert {r["source_file"] for r in staged(home, "measurements")} == {"ME3.xml"}


def test_changes_without_a_snapshot_before_them_are_refused(tmp_path: Path, export: Path) -> None:
    home = Home(tmp_path)
    deliver(home, export, "2017-02-01", "*transactions*.xml")
    taken = run(home)
    assert "this file in the delivery" in str(taken.rejected[0])
