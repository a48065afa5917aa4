"""The command's contract: what it prints, what it leaves, and its exit codes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Restage

HEAVY = ("dagster", "great_expectations", "matplotlib", "pandas", "lifelines", "pydicom", "jsonschema")


def test_demo_ends_with_the_headline_figures_and_where_the_reports_are(demo_run: tuple[Path, str]) -> None:
    home, printed = demo_run
    for text in ("PFS1", "PFS2", "PFSTOT", "Eligible subjects", "reports/index.html"):
        assert text in printed
    for name in ("warehouse.duckdb", "reports/index.html", "dagster/history", "archive/ledger.jsonl"):
        assert (home / name).exists()


def test_a_second_run_does_nothing_and_says_so(demo_home: Path, tmp_path: Path, restage: Restage) -> None:
    home = tmp_path / "home"
    shutil.copytree(demo_home, home, copy_function=shutil.copy2)
    restage("run", "--home", home)  # a copy has other times of writing: every file is looked at again
    before = {p: p.stat().st_mtime_ns for p in home.rglob("*") if p.is_file()}
    for command in ("run", "demo"):
        done = restage(command, "--home", home)
        assert done.returncode == 0
        assert "Nothing new" in done.stdout
    assert {p: p.stat().st_mtime_ns for p in home.rglob("*") if p.is_file()} == before


def test_a_run_with_nothing_new_imports_no_heavy_library(demo_home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipelines.cli.run import bring_up_to_date;"
        "from pipelines.warehouse import Home; assert bring_up_to_date(Home(Path(sys.argv[1]))) == 0;"
        f"print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(demo_home)], capture_output=True, text=True, timeout=60, check=True
    )
    assert "Nothing new" in done.stdout
    assert "HEAVY []" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--no-such-option"),
        ("simulate", "--out", "x"),
        ("simulate", "--out", "x", "--patients", "0"),
        ("fly",),
    ],
)
def test_wrong_usage_ends_with_two_and_no_traceback(
    arguments: tuple[str, ...], restage: Restage, tmp_path: Path
) -> None:
    done = restage(*(str(tmp_path / a) if a == "x" else a for a in arguments))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_an_empty_home_has_nothing_to_do(restage: Restage, tmp_path: Path) -> None:
    done = restage("run", "--home", tmp_path / "home")
    assert (done.returncode, "Nothing new" in done.stdout) == (0, True)
