"""The state of a study survives the loss of its home, is locked under a name, and says where it stands."""

import json
import shutil
import subprocess
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from pipelines import backup as care
from pipelines import freeze as lock
from pipelines.deliveries import denylist, ledger
from pipelines.errors import RestageError, UsageError
from pipelines.warehouse import Home, open_read
from tests.conftest import Restage


def digests(home: Path) -> dict[str, str]:
    with closing(open_read(Home(home))) as con:
        return {table: lock.content(con, table) for table in lock.tables_of(con)}


def printed(home: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((home / "reports" / "study").glob("*.csv"))}


@pytest.fixture
def home(demo_home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_home, tmp_path / "home"))


@pytest.fixture(scope="module")
def kept(demo_home: Path, tmp_path_factory: pytest.TempPathFactory, restage: Restage) -> Path:
    """A backup of the reference study, made by the command."""
    target = tmp_path_factory.mktemp("backups") / "study.tar.gz"
    done = restage("backup", "--home", demo_home, "--to", target)
    assert done.returncode == 0, done.stderr
    return target


def test_a_home_that_was_lost_comes_back_with_equal_tables_and_reports(
    demo_home: Path, kept: Path, tmp_path: Path, restage: Restage
) -> None:
    done = restage("restore", kept, "--home", tmp_path / "new")
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "new") == digests(demo_home)
    assert printed(tmp_path / "new") == printed(demo_home)


def test_a_backup_holds_what_cannot_be_made_again_and_nothing_else(kept: Path, demo_home: Path) -> None:
    with tarfile.open(kept) as tar:
        tops = {name.split("/")[0] for name in tar.getnames()}
    assert tops & set(care.MADE_AGAIN) <= {"reports"}
    assert {"archive", "backup.json"} <= tops
    assert "inbox" not in tops, "every delivery of the inbox is in the archive"
    assert kept.stat().st_mode & 0o077 == 0


def test_a_delivery_that_was_not_taken_in_is_kept_whole(home: Path, tmp_path: Path) -> None:
    old = next((home / "inbox" / "me1").iterdir())
    new = shutil.copytree(old, home / "inbox" / "me1" / "2020-01-31_export")
    (new / "late.txt").write_text("invented")
    about = care.backup(Home(home), tmp_path / "b.tar.gz")
    waiting = {n for n in about["files"] if n.startswith("inbox/")}
    assert waiting == {f"inbox/me1/2020-01-31_export/{p.name}" for p in new.iterdir()}


def test_a_damaged_backup_leaves_nothing_behind(kept: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(kept.read_bytes()[:-2000])
    with pytest.raises(RestageError, match="no whole backup"):
        care.restore(cut, Home(tmp_path / "new"))
    assert [p.name for p in tmp_path.iterdir()] == ["cut.tar.gz"]


def test_what_was_changed_inside_a_backup_is_found(kept: Path, tmp_path: Path) -> None:
    with tarfile.open(kept) as tar:
        tar.extractall(tmp_path / "opened", filter="data")
    (tmp_path / "opened" / "archive" / "ledger.jsonl").write_text("{}\n")
    with tarfile.open(tmp_path / "changed.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "opened", "")
    with pytest.raises(RestageError, match="no whole backup"):
        care.restore(tmp_path / "changed.tar.gz", Home(tmp_path / "new"))


def test_nothing_is_overwritten(kept: Path, demo_home: Path) -> None:
    with pytest.raises(UsageError, match="not empty"):
        care.restore(kept, Home(demo_home))
    with pytest.raises(UsageError, match="never replaces"):
        care.backup(Home(demo_home), kept)


def test_who_withdrew_after_the_backup_stays_out(home: Path, tmp_path: Path) -> None:
    denylist.add(Home(home), denylist.CODE, ["RCC-ME1-001-M"])
    care.backup(Home(home), tmp_path / "old.tar.gz")
    denylist.add(Home(home), denylist.CODE, ["RCC-ME1-002-X"])
    care.restore(tmp_path / "old.tar.gz", Home(tmp_path / "new"), withdrawn=home)
    assert denylist.read(Home(tmp_path / "new")) == denylist.read(Home(home))
    (home / "keys" / "withdrawn.key").write_text("00")
    with pytest.raises(UsageError, match="another study"):
        care.restore(tmp_path / "old.tar.gz", Home(tmp_path / "third"), withdrawn=home)


@pytest.mark.long
def test_a_frozen_state_is_derived_again_and_found_equal(home: Path, restage: Restage) -> None:
    signed = ("--by", "A. Rossi", "--reason", "Primary analysis")
    done = restage("freeze", "primary", "--home", home, *signed)
    assert done.returncode == 0, done.stderr
    about = lock.read(Home(home), "primary")
    assert f"sha256 {about['hash']}" in done.stdout
    assert (about["by"], about["reason"]) == ("A. Rossi", "Primary analysis")
    assert about["tables"] == digests(home)
    # a later delivery changes the study and not what was frozen
    assert restage("simulate", "--patients", "12", "--seed", "9", "--out", home.parent / "later").returncode == 0
    later = next((home.parent / "later" / "inbox" / "me1").iterdir())
    shutil.copytree(later, home / "inbox" / "me1" / "2030-01-31_export")
    assert restage("run", "--home", home).returncode == 0
    assert digests(home) != about["tables"]
    again = restage("freeze", "--verify", "primary", "--home", home)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "are equal" in again.stdout
    assert restage("freeze", "primary", "--home", home, *signed).returncode == 2


@pytest.mark.parametrize("is_complete", [True, False])
def test_a_rule_that_could_not_run_hinders_no_derivation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_complete: bool
) -> None:
    """A run that ends with 1 because of it has made all tables; one that was cut off has not."""
    from pipelines.cli import freeze
    from pipelines.orchestration.plan import write_state

    failed = subprocess.CompletedProcess([], 1, "", "restage: something is wrong")
    monkeypatch.setattr(freeze.subprocess, "run", lambda *_, **__: failed)
    write_state(Home(tmp_path), {}, complete=is_complete)
    if is_complete:
        freeze._make(Home(tmp_path), "1.0")
    else:
        with pytest.raises(RestageError, match="could not be derived again"):
            freeze._make(Home(tmp_path), "1.0")


def test_what_was_changed_in_a_frozen_state_is_named(home: Path) -> None:
    lock.freeze(Home(home), "first", "A. Rossi", "test", "code")
    (home / "frozen" / "first" / "reports" / "table1.csv").write_text("changed")
    wrong, _ = lock.verify(Home(home), "first", lambda *_: pytest.fail("it is not derived"))
    assert wrong == ["reports: reports/table1.csv is not as it was frozen"]
    shutil.copy2(home / "reports" / "study" / "table1.csv", home / "frozen" / "first" / "reports")
    path = home / "frozen" / "first" / "freeze.json"
    path.write_text(path.read_text().replace("A. Rossi", "B. Bianchi"))
    assert lock.verify(Home(home), "first", lambda *_: pytest.fail("it is not derived"))[0] == [
        "freeze.json itself was changed"
    ]


def test_a_withdrawn_subject_leaves_frozen_states_too(home: Path) -> None:
    subject = "RCC-ME1-001-M"
    with closing(open_read(Home(home))) as con:
        (subject,) = con.execute("select min(usubjid) from derived.adsl").fetchall()[0]
    before = lock.freeze(Home(home), "first", "A. Rossi", "test", "code")
    assert lock.take_out(Home(home), subject, ["M-0001"]) == ["first"]
    after = lock.read(Home(home), "first")
    assert [a["was"] for a in after["amended"]] == [before["hash"]]
    assert after["hash"] != before["hash"]
    left = [p for p in (home / "frozen").rglob("*") if p.is_file() and subject.encode() in p.read_bytes()]
    assert left == []
    assert lock.take_out(Home(home), subject, []) == []


def test_freezing_waits_for_a_run_and_wants_a_name(home: Path, restage: Restage) -> None:
    shutil.copytree(next((home / "inbox" / "rt1").iterdir()), home / "inbox" / "rt1" / "again")
    for arguments, words in (
        (("freeze", "x"), "Who signs off"),
        (("freeze", "../x", "--by", "a", "--reason", "b"), "a name of letters"),
        (("freeze", "--verify", "nobody"), "There is: nothing yet"),
    ):
        done = restage(*arguments, "--home", home)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    (home / "state.json").unlink()
    done = restage("freeze", "x", "--by", "a", "--reason", "b", "--home", home)
    assert done.returncode == 2
    assert "not up to date" in done.stderr


def test_status_says_where_each_centre_stands(demo_home: Path, restage: Restage) -> None:
    said = json.loads(restage("status", "--json", "--home", demo_home).stdout)
    assert said["up_to_date"] is True
    by_centre = {c["centre"]: c for c in said["centres"]}
    assert list(by_centre) == ["me1", "me2", "me3", "rt1", "rt2", "rt3", "rt4"]
    with closing(open_read(Home(demo_home))) as con:
        rows = con.execute("select centre, count(*) from validated.findings where severity <> 'note' group by all")
        asked = dict(rows.fetchall())
    holds = ledger.in_force(Home(demo_home), "me2")
    assert holds is not None
    assert by_centre["me2"]["delivery"] == holds.name
    assert by_centre["me2"]["freshness"] == "late", "the reference study ended years ago"
    assert {c: n["queries"] for c, n in by_centre.items()} == {c: asked.get(c, 0) for c in by_centre}
    table = restage("status", "--home", demo_home).stdout.splitlines()
    assert table[0].split() == ["centre", "data", "cut", "delivery", "newest", "next", "due", "queries"]
    assert table[-1] == "Tables and reports are up to date."


def test_doctor_finds_nothing_wrong_with_a_sound_home(home: Path, restage: Restage) -> None:
    done = restage("doctor", "--deep", "--json", "--home", home)
    found = json.loads(done.stdout)
    assert done.returncode == 0, found
    assert {f["check"] for f in found} >= {
        "home",
        "permissions",
        "disk",
        "clock",
        "archive",
        "warehouse",
        "version",
        "runs",
    }


def spoil_object(home: Path) -> None:
    path = next((home / "archive" / "objects").iterdir())
    path.chmod(0o644)
    path.write_bytes(b"x" + path.read_bytes()[1:])


def lose_object(home: Path) -> None:
    next((home / "archive" / "objects").iterdir()).unlink()


def future(home: Path) -> None:
    path = home / "archive" / "ledger.jsonl"
    text = path.read_text()
    year = ledger.now()[:4]
    path.write_text(text.replace(f'"received": "{year}', '"received": "2999'))


def cut_off(home: Path) -> None:
    state = home / "state.json"
    state.write_text(state.read_text().replace('"complete": true', '"complete": false'))


def damage_warehouse(home: Path) -> None:
    (home / "warehouse.duckdb").write_bytes(b"no database" * 5000)


def open_key(home: Path) -> None:
    denylist.add(Home(home), denylist.CODE, ["X"])
    (home / "keys" / "withdrawn.key").chmod(0o644)


@pytest.mark.parametrize(
    ("spoil", "check", "advice"),
    [
        (spoil_object, "archive", "backup"),
        (lose_object, "archive", "send the delivery again"),
        (future, "clock", "clock"),
        (cut_off, "run", "restage run"),
        (damage_warehouse, "warehouse", "restage rebuild"),
        (open_key, "permissions", "chmod 600"),
    ],
)
def test_doctor_says_what_is_wrong_and_what_to_do(home: Path, spoil: object, check: str, advice: str) -> None:
    from pipelines.orchestration.doctor import examine

    spoil(home)  # type: ignore[operator]
    wrong = [f for f in examine(Home(home), deep=True) if f.state == "wrong"]
    assert [f.check for f in wrong] == [check]
    assert advice in wrong[0].advice


def test_open_names_the_reports_that_there_are(demo_home: Path, restage: Restage) -> None:
    done = restage("open", "--centre", "me9", "--home", demo_home)
    assert done.returncode == 2
    assert "me1, me2" in done.stderr
