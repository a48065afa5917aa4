"""Every command of the tutorial, in its order, in a copy of the project."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import study

COPIED = ("pipelines", "sql", "study", "expectations", "centres", "examples")
PAGE = study.ROOT / "docs" / "tutorial" / "first-study.md"


@pytest.mark.long
def test_the_tutorial_does_what_it_says(demo_home: Path, tmp_path: Path) -> None:
    for name in COPIED:
        shutil.copytree(study.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(demo_home, tmp_path / "study-home")  # what `make demo` leaves there
    (tmp_path / "bin").mkdir()
    restage = tmp_path / "bin" / "restage"
    restage.write_text(f"#!{sys.executable}\nfrom pipelines.cli.main import main\nmain()\n")
    restage.chmod(0o755)
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "PATH": f"{restage.parent}:{os.environ['PATH']}"}
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    said, medians, met = [], [], []
    for block in blocks:
        done = subprocess.run(["sh", "-ec", block], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, block + done.stdout + done.stderr
        said.append(done.stdout)
        medians.append(_row(tmp_path, "pfs_summary", "paramcd", "PFS2"))
        met.append(_row(tmp_path, "reconciliation", "fact_id", "pfs2")["status"] == "match")
    status, traced, changed, back, second = said
    assert re.search(r"^me1 .* late ", status, re.M)
    assert "bone" in traced
    assert medians[2] != medians[1] == medians[3] != medians[4], "another curve, that of before, another cohort's"
    assert met[:4] == [True, True, False, True], "the paper's median"
    assert "2030-01-31_second: accepted" in second
    assert "Up to date" in changed and "Up to date" in back


def _row(root: Path, table: str, key: str, value: str) -> dict[str, str]:
    with (root / f"study-home/reports/study/{table}.csv").open(newline="") as file:
        return next(row for row in csv.DictReader(file) if row[key] == value)
