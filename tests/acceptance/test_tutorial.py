"""Every command of the tutorial, in its order, in a copy of the project."""

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
    said, medians = [], []
    for block in blocks:
        done = subprocess.run(["sh", "-ec", block], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, block + done.stdout + done.stderr
        said.append(done.stdout)
        rows = (tmp_path / "study-home/reports/study/pfs_summary.csv").read_text().splitlines()
        medians.append(next(row for row in rows if "PFS2," in row or row.startswith("PFS2")))
    status, traced, second, changed, back = said
    assert re.search(r"^me1 .* late ", status, re.M)
    assert "bone" in traced
    assert "2030-01-31_second: accepted" in second
    assert medians[2] != medians[3], "the curve is another one"
    assert medians[4] == medians[2], "and what it was before"
    assert "Up to date" in changed and "Up to date" in back
