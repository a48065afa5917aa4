"""A backup holds all that cannot be made again, or is refused; a restore keeps to the folder it is given. Invented."""

import shutil
from pathlib import Path

import pytest

from pipelines import backup as care
from pipelines.deliveries import ledger
from pipelines.deliveries.intake import intake
from pipelines.deliveries.ledger import Delivery
from pipelines.errors import RestageError, UsageError
from pipelines.warehouse import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """One delivery that was taken in."""
    home = Home(tmp_path / "home")
    put(home, "2020-01-31_export")
    taken_in(home, "2020-01-31_export")
    return home


def put(home: Home, name: str) -> Path:
    folder = home.inbox / "me1" / name
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("id;n\n1;2\n")
    return folder


def taken_in(home: Home, name: str) -> None:
    sha256, size = ledger.store(home, home.inbox / "me1" / name / "a.csv")
    files = {"a.csv": {"sha256": sha256, "size": size}}
    ledger.append(home, Delivery(f"me1-{name}", "me1", name, "2020-02-01", name[:10], files, "accepted"))


def test_a_delivery_whose_bytes_came_before_is_kept_until_it_is_taken_in(home: Home, tmp_path: Path) -> None:
    put(home, "2020-04-30_export")
    about = care.backup(home, tmp_path / "a.tar.gz")
    assert [n for n in about["files"] if n.startswith("inbox/")] == ["inbox/me1/2020-04-30_export/a.csv"]
    taken_in(home, "2020-04-30_export")
    about = care.backup(home, tmp_path / "b.tar.gz")
    assert not [n for n in about["files"] if n.startswith("inbox/")]


def test_a_reply_beside_an_export_is_left_out_with_it(home: Home, tmp_path: Path) -> None:
    (home.inbox / "me1" / "2020-01-31_export" / "queries.csv").write_text("q")
    assert [n for n in care.backup(home, tmp_path / "a.tar.gz")["files"] if n.startswith("inbox/")]
    assert [d.state for d in intake(home, ["me1"])] == ["duplicate", "answer"]
    assert not [n for n in care.backup(home, tmp_path / "b.tar.gz")["files"] if n.startswith("inbox/")]


@pytest.mark.parametrize("part", ["archive", "inbox"])
def test_a_folder_of_the_home_may_lie_on_another_disk(home: Home, tmp_path: Path, part: str) -> None:
    put(home, "2020-04-30_export")
    there = care.backup(home, tmp_path / "a.tar.gz")["files"]
    (home.root / part).rename(tmp_path / "disk")
    (home.root / part).symlink_to(tmp_path / "disk")
    assert care.backup(home, tmp_path / "b.tar.gz")["files"] == there
    new = Home(tmp_path / "new")
    care.restore(tmp_path / "b.tar.gz", new)
    assert ledger.read(new) == ledger.read(home)


def spoil(path: Path) -> None:
    path.chmod(0o644)
    path.write_text("id;n\n1;3\n")


@pytest.mark.parametrize("harm", [Path.unlink, spoil])
def test_a_backup_that_would_not_be_whole_is_refused(home: Home, tmp_path: Path, harm: object) -> None:
    harm(next((home.archive / "objects").iterdir()))  # type: ignore[operator]
    with pytest.raises(RestageError, match="me1/2020-01-31_export"):
        care.backup(home, tmp_path / "a.tar.gz")
    assert not (tmp_path / "a.tar.gz").exists()


def test_a_file_that_cannot_be_read_is_named(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.root / "notes.txt").write_text("x")
    whole = care.sha256

    def refuse(path: Path) -> str:
        if path.name == "notes.txt":
            raise PermissionError
        return whole(path)

    monkeypatch.setattr(care, "sha256", refuse)
    with pytest.raises(RestageError, match=r"notes\.txt cannot be read"):
        care.backup(home, tmp_path / "a.tar.gz")


def test_a_backup_lies_outside_the_home(home: Home) -> None:
    with pytest.raises(UsageError, match="lies in the home"):
        care.backup(home, home.root / "backups" / "a.tar.gz")


def test_a_new_home_is_its_owners_alone(home: Home, tmp_path: Path) -> None:
    care.backup(home, tmp_path / "a.tar.gz")
    care.restore(tmp_path / "a.tar.gz", Home(tmp_path / "new"))
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_a_home_that_is_there_stays_the_same_folder(home: Home, tmp_path: Path) -> None:
    """As where a disk of its own is mounted: it can be neither replaced nor removed, and may hold `lost+found`."""
    care.backup(home, tmp_path / "a.tar.gz")
    new = tmp_path / "new"
    (new / "lost+found").mkdir(parents=True)
    (new / ".home.restoring").mkdir()
    new.chmod(0o750)
    before = new.stat()
    with pytest.raises(UsageError):
        care.restore(tmp_path / "none.tar.gz", Home(new))
    care.restore(tmp_path / "a.tar.gz", Home(new))
    assert (new.stat().st_ino, new.stat().st_mode) == (before.st_ino, before.st_mode)
    assert ledger.read(Home(new)) == ledger.read(home)
    assert sorted(p.name for p in new.iterdir()) == ["archive", "lost+found"]
    shutil.rmtree(new / "archive")
