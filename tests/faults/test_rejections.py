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
    # changes without their snapshot would stand on the delivery before
    for path in newer.rglob(f"*{largest.suffix}"):
        path.unlink()
    if content is not None:
        largest.write_bytes(content)
    return largest.name


@pytest.mark.long
@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param(None, id="missing"),
        *(pytest.param(b, id=i) for b, i in ((b"", "empty"), (b"\x00", "one byte"))),
    ],
)
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


@pytest.mark.long
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


@pytest.mark.long
def test_a_rejection_is_told_once(home: Path, restage: Restage) -> None:
    spoil(home, centres(home)[0], b"")
    assert restage("run", "--home", home).returncode == 3
    again = restage("run", "--home", home)
    assert (again.returncode, "Nothing new" in again.stdout) == (0, True)


@pytest.mark.long
def test_a_second_delivery_and_an_answer_are_followed_to_the_report(home: Path, restage: Restage) -> None:
    """A row less: it stays, the centre is asked, its reply takes the row away; its report says what changed."""
    (good,) = (home / "inbox" / "me1").iterdir()
    newer = good.with_name("2030-01-01_again")
    shutil.copytree(good, newer)
    (newer / "manifest.yaml").unlink()
    data = newer / "ME1_DATA.csv"
    lines = data.read_bytes().split(b"\n")
    gone = next(i for i, line in enumerate(lines) if b",measurements," in line)
    data.write_bytes(b"\n".join(lines[:gone] + lines[gone + 1 :]))
    before = content(home)
    assert restage("run", "--home", home).returncode == 0
    assert {t: len(rows) for t, rows in content(home).items()} == {t: len(rows) for t, rows in before.items()}
    page = (home / "reports" / "centres" / "me1" / "report.html").read_text(encoding="utf-8")
    assert "What changed since the delivery before" in page
    assert "superseded" in page
    with closing(open_read(Home(home))) as con:
        changes = con.execute("select change, table_name from validated.changes").fetchall()
        ((query, row),) = con.execute("""
            select query_id, source_row from validated.findings where rule_id = 'structure/vanished_record'
        """).fetchall()
    assert changes == [("vanished", "measurements")]
    assert row == str(gone + 1)
    reply = home / "inbox" / "me1" / "2030-02-01_reply"
    reply.mkdir()
    sent = (home / "reports" / "centres" / "me1" / "queries.csv").read_text(encoding="utf-8-sig")
    assert query in sent
    (reply / "queries.csv").write_text(f"query_id,site_reply\n{query},confirmed\n", encoding="utf-8-sig")
    assert restage("run", "--home", home).returncode == 0
    after = content(home)
    assert len(after["harmonised.measurements"]) == len(before["harmonised.measurements"]) - 1
    # as it was before the reply, and from the archive alone
    assert restage("run", "--home", home, "--as-of", "2000-01-01").returncode == 0
    assert content(home)["harmonised.measurements"] == []
    assert restage("rebuild", "--home", home).returncode == 0
    assert content(home) == after


@pytest.mark.long
def test_a_study_in_which_one_centre_alone_has_sent_something_has_its_tables_and_reports(
    demo_home: Path, tmp_path: Path, restage: Restage
) -> None:
    home = tmp_path / "home"
    shutil.copytree(demo_home / "inbox" / "rt1", home / "inbox" / "rt1")
    done = restage("run", "--home", home)
    assert done.returncode == 0, done.stderr
    assert len(content(home)["harmonised.fractions"]) > 0
    assert len(list((home / "reports" / "centres").glob("*/report.html"))) == len(centres(demo_home))
