"""A study that is left alone for a month, with crashes, a full disk and a locked warehouse, ends where one run does."""

import json
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipelines import study
from pipelines.deliveries import ledger
from pipelines.deliveries.inbox import waiting
from pipelines.lock import UNFINISHED, at_work
from pipelines.orchestration.plan import centre_folders
from pipelines.simulate.simulate import simulate
from pipelines.warehouse import Home, open_read

# those that are read quickly: REDCap, many CSV files, a workbook
FEW = ["me1", "rt1", "rt2"]
Tables = dict[str, list[tuple[object, ...]]]


def run_month(root: Path, made: Path, centres: list[str], days: int, *more: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.faults.month", str(root), str(made)]
    said, errors = root.with_suffix(".out"), root.with_suffix(".err")
    # files: what a killed run leaves of Dagster's capture of logs would hold a pipe open
    with said.open("w") as out, errors.open("w") as err:
        done = subprocess.run(
            [*command, "--centres", ",".join(centres), "--days", str(days), *more],
            cwd=study.ROOT, stdout=out, stderr=err, timeout=3000, check=False,
        )  # fmt: skip
    assert done.returncode == 0, errors.read_text()[-3000:]
    return list(json.loads(said.read_text().splitlines()[-1]))


def tables(home: Home) -> Tables:
    with closing(open_read(home)) as con:
        return {name: con.execute(f"from {name} order by all").fetchall() for name in study.tables()}


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exports with errors; a few days see no others. Every centre has patients of these."""
    root = tmp_path_factory.mktemp("made")
    simulate(root / "spoilt", patients=6, seed=1, defects=0.05)
    return root


@pytest.fixture(scope="module")
def made(spoilt: Path) -> Path:
    """Exports of the same subjects, with errors and without."""
    simulate(spoilt / "clean", patients=6, seed=1)
    return spoilt


def check(
    root: Path, made: Path, centres: list[str], days: int, seed: int, faults: list[str], expected: Tables
) -> None:
    """One month against one clean run."""
    home = Home(root / f"month{seed}")
    log = run_month(home.root, made, centres, days, "--seed", str(seed), "--faults", ",".join(faults))
    struck = Counter(entry["fault"] for entry in log if entry["fault"])
    assert struck >= Counter(faults), log
    says = {"open": "is open in another program", "full": "No space left on device", "kill": ""}
    assert [e for e in log if e["fault"] and (e["ended"] == "done" or says[e["fault"]] not in e["error"])] == [], log
    found = tables(home)
    different = {name: (len(found[name]), len(rows)) for name, rows in expected.items() if found[name] != rows}
    assert different == {}, log
    # each delivery stands in the ledger once, received once, and nothing was decided twice in the same way
    known = ledger.read(home)
    assert sorted((d.centre, d.name) for d in known) == sorted((centre, path.name) for centre, path in waiting(home))
    lines = (home.archive / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(set(lines))
    assert [d.name for d in known if d.state == "rejected"] == [d.name for d in known if d.name.endswith("_cut")]
    with at_work(home, 0):
        left = [path for pattern in UNFINISHED for path in home.root.glob(pattern)]
    assert left == []


@pytest.fixture(scope="module")
def two_at_once(spoilt: Path, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    home = Home(tmp_path_factory.mktemp("once") / "home")
    run_month(home.root, spoilt, FEW[:2], 4)
    return tables(home)


@pytest.mark.long
def test_four_days_with_a_crash_a_full_disk_and_a_locked_warehouse(
    spoilt: Path, two_at_once: Tables, tmp_path: Path
) -> None:
    check(tmp_path, spoilt, FEW[:2], 4, 1, ["kill", "full", "open"], two_at_once)


@pytest.fixture(scope="module")
def few_for_a_month(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    home = Home(tmp_path_factory.mktemp("month") / "home")
    run_month(home.root, made, FEW, 30)
    return tables(home)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 28))
def test_a_month_with_eight_crashes(made: Path, few_for_a_month: Tables, tmp_path: Path, seed: int) -> None:
    """Two hundred places where a run was killed, in all seeds together."""
    check(tmp_path, made, FEW, 30, seed, ["kill"] * 8, few_for_a_month)


@pytest.fixture(scope="module")
def all_for_a_month(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    home = Home(tmp_path_factory.mktemp("all") / "home")
    run_month(home.root, made, sorted(centre_folders()), 30)
    return tables(home)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [100, 101, 102])
def test_a_month_of_seven_centres(made: Path, all_for_a_month: Tables, tmp_path: Path, seed: int) -> None:
    check(tmp_path, made, sorted(centre_folders()), 30, seed, ["kill", "kill", "full", "open"], all_for_a_month)
