"""The documentation is up to date and whole: its generated pages, its links, its place in the site."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import reference, study

DOCS = study.ROOT / "docs"


@pytest.mark.parametrize("name", reference.pages())
def test_a_written_page_is_up_to_date(name: str) -> None:
    """If not: `python -m pipelines.reference`."""
    assert (DOCS / "reference" / name).read_text(encoding="utf-8") == reference.pages()[name].rstrip("\n") + "\n"


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """Every page has its place, every link and anchor its target; no page asks for anything from elsewhere."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=study.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
