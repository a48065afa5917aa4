"""A delivery that is rejected costs nobody else anything: exit 3, a message that helps, the last good one in force."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from pipelines.warehouse import Home, open_read
from tests.conftest import Restage

TABLES = ("harmonised.measurements", "harmonised.fractions", "derived.adtte", "reports.pfs_summary")


def content(home: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(open_read(Home(home))) as con:
        return {table: con.execute(f"from {table} order by all").fetchall() for table in TABLES}


@pytest.fixture
def home(demo_home: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "home"
    shutil.copytree(demo_home, copy, copy_function=shutil.copy2)
    return copy


def centres(home: Path) -> list[str]:
    return sorted(p.name for p in (home / "inbox").iterdir())


def spoil(home: Path, centre: str, content: bytes | None) -> str:
    """A newer delivery of a centre with its largest file cut to `content`, or left out; returns that file's name."""
    (good,) = (home / "inbox" / centre).iterdir()
    newer = good.with_name("2030-01-01_spoilt")
    shutil.copytree(good, newer)
    (newer / "manifest.yaml").unlink()
    largest = max((p for p in newer.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    largest.unlink()
    if content is not None:
        largest.write_bytes(content)
    return largest.name


@pytest.mark.parametrize("spoilt", [None, b"", b"\x00"], ids=["missing", "empty", "one byte"])
def test_a_spoilt_delivery_of_every_centre_is_rejected_and_the_good_ones_hold(
    home: Path, restage: Restage, spoilt: bytes | None
) -> None:
    before = content(home)
    # files that come in numbers (DICOM) may lack one: only centres whose largest file is one of its kind
    single = [c for c in centres(home) if len([p for p in (home / "inbox" / c).rglob("*") if p.is_file()]) < 20]
    names = {centre: spoil(home, centre, spoilt) for centre in single}
    done = restage("run", "--home", home)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    for centre, name in names.items():
        assert f"{centre}: delivery 2030-01-01_spoilt: rejected" in done.stdout
        if spoilt is not None:
            assert name in done.stdout
    assert content(home) == before


def test_the_other_centres_go_on(home: Path, restage: Restage) -> None:
    """One spoilt and one good delivery at once: the good one is taken in, with its new extract date in force."""
    first, second = centres(home)[:2]
    spoil(home, first, b"")
    (good,) = (home / "inbox" / second).iterdir()
    newer = good.with_name("2030-01-02_again")
    shutil.copytree(good, newer)
    (newer / "manifest.yaml").unlink()
    (newer / "remark.txt").write_text("sent once more")
    done = restage("run", "--home", home)
    assert done.returncode == 3
    assert f"{second}: delivery 2030-01-02_again: accepted" in done.stdout
    with closing(open_read(Home(home))) as con:
        ids = con.execute("select distinct centre, delivery_id from harmonised.links order by all").fetchall()
    assert "2030-01-02_again" in dict(ids)[second]
    assert "spoilt" not in dict(ids)[first]


def test_a_rejection_is_told_once(home: Path, restage: Restage) -> None:
    spoil(home, centres(home)[0], b"")
    assert restage("run", "--home", home).returncode == 3
    again = restage("run", "--home", home)
    assert (again.returncode, "Nothing new" in again.stdout) == (0, True)
