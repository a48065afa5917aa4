"""Two runs from the same deliveries give identical tables and identical files."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from pipelines import study
from pipelines.warehouse import Home, open_read
from tests.conftest import Restage

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def again(demo_home: Path, tmp_path_factory: pytest.TempPathFactory, restage: Restage) -> Path:
    """A second home with the same deliveries, run by itself."""
    home = tmp_path_factory.mktemp("again")
    for part in ("inbox", "truth"):
        shutil.copytree(demo_home / part, home / part)
    done = restage("run", "--home", home)
    assert done.returncode == 0, done.stderr
    return home


def test_tables_are_equal_by_content(demo_home: Path, again: Path) -> None:
    with closing(open_read(Home(demo_home))) as one, closing(open_read(Home(again))) as other:
        for name in study.tables():
            query = f"from {name} order by all"
            assert one.execute(query).fetchall() == other.execute(query).fetchall(), name


def test_reports_and_figures_are_equal_byte_for_byte(demo_home: Path, again: Path) -> None:
    files = sorted(p.relative_to(demo_home) for p in (demo_home / "reports").rglob("*") if p.is_file())
    assert {f.suffix or f.name for f in files} == {".html", ".csv", ".svg", ".png", ".xlsx", ".queries"}
    different = [f for f in files if (demo_home / f).read_bytes() != (again / f).read_bytes()]
    assert different == []
