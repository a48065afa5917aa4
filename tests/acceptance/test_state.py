"""The state of a study survives the loss of its home, is locked under a name, and says where it stands."""

import json
import os
import shutil
import subprocess
import tarfile
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from pipelines import backup as care
from pipelines import freeze as lock
from pipelines.centres import load_all
from pipelines.deliveries import denylist, ledger
from pipelines.deliveries.land import land
from pipelines.errors import RestageError, UsageError
from pipelines.orchestration.plan import CENTRES, make_plan
from pipelines.orchestration.settings import late_after_pct, load_settings
from pipelines.orchestration.take_in import take_in
from pipelines.status import lateness, patience, standings
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
    done = restage("backup", "--home", demo_home, "--to", target, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    with tarfile.open(target) as tar:
        assert told["files"] == len(tar.getnames()) - 1, "the list itself aside"
    assert f"{told['files']} files, {told['bytes'] / 2**20:.1f} MiB" in done.stderr
    return target


@pytest.mark.long
def test_a_home_that_was_lost_comes_back_with_equal_tables_and_reports(
    demo_home: Path, kept: Path, tmp_path: Path, restage: Restage
) -> None:
    done = restage("restore", kept, "--home", tmp_path / "new", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["changed"], told["broken_rules"], told["exit_code"]) == (True, [], 0)
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
    done = restage("freeze", "primary", "--home", home, *signed, "--json")
    assert done.returncode == 0, done.stderr
    about = lock.read(Home(home), "primary")
    assert f"sha256 {about['hash']}" in done.stderr
    told = json.loads(done.stdout)
    assert (told["hash"], told["tables"], told["by"]) == (about["hash"], len(about["tables"]), "A. Rossi")
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


def test_what_was_changed_in_a_frozen_state_is_named(home: Path, restage: Restage) -> None:
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
    done = restage("freeze", "--verify", "first", "--home", home, "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["exit_code"], told["equal"]) == (1, 1, False)
    assert told["differences"] == ["freeze.json itself was changed"]
    assert told["differences"][0] in done.stderr


def test_a_withdrawn_subject_leaves_frozen_states_too(home: Path) -> None:
    subject = "RCC-ME1-001-M"
    with closing(open_read(Home(home))) as con:
        (subject,) = con.execute("select min(usubjid) from derived.adsl").fetchall()[0]
    before = lock.freeze(Home(home), "first", "A. Rossi", "test", "code")
    assert lock.take_out(Home(home), [subject, "M-0001"]) == ["first"]
    after = lock.read(Home(home), "first")
    assert [a["was"] for a in after["amended"]] == [before["hash"]]
    assert after["hash"] != before["hash"]
    left = [p for p in (home / "frozen").rglob("*") if p.is_file() and subject.encode() in p.read_bytes()]
    assert left == []
    assert lock.take_out(Home(home), [subject]) == []


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
    found = json.loads(done.stdout)["findings"]
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
    later = datetime(2999, 1, 1, tzinfo=UTC).timestamp()
    os.utime(path, (later, later))


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


def test_a_centre_is_late_when_cadence_and_margin_are_over(demo_home: Path) -> None:
    cut, day = date(2026, 1, 1), timedelta(days=1)
    due = cut + 90 * day
    assert lateness(cut, 90, 110, cut + 99 * day) == (due, 0), "9 days of 90 are the margin"
    assert lateness(cut, 90, 110, cut + 100 * day) == (due, 10), "late is counted from the day that it was due"
    assert lateness(cut, 90, 100, due + day) == (due, 1)
    # the same margin in `restage status`, in the overview and in Dagster, which looks at the hour too
    centres = load_all(CENTRES)
    for name, centre in centres.items():
        holds = ledger.in_force(Home(demo_home), name)
        assert holds
        last = date.fromisoformat(holds.extract_date) + patience(centre.cadence_days, 110)
        for today, freshness in ((last, "fresh"), (last + day, "late")):
            by_name = {s.centre: s for s in standings(Home(demo_home), centres, 110, today)}
            assert by_name[name].freshness == freshness


def test_the_home_may_say_after_how_much_of_its_cadence_a_centre_is_late(tmp_path: Path) -> None:
    assert late_after_pct(Home(tmp_path)) == load_settings(Home(tmp_path)).late_after_pct
    (tmp_path / "operation.yaml").write_text("late_after_pct: 150\n", encoding="utf-8")
    assert late_after_pct(Home(tmp_path)) == load_settings(Home(tmp_path)).late_after_pct == 150


NEWER = ("judged_by", "n_rows", "removes", "erased")  # what the ledger did not say at first


@pytest.fixture
def earlier(home: Path) -> Path:
    """The reference study's home as the first version with a ledger would have left it: no fields that came later, no
    history, no records of rules, and tables without the columns of a query's life."""
    path = home / "archive" / "ledger.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    old = [json.dumps({k: v for k, v in line.items() if k not in NEWER}) + "\n" for line in lines]
    path.write_text("".join(old), encoding="utf-8")
    for name in ("history", "gx", "dagster"):
        shutil.rmtree(home / name)
    for name in ("rules.json", "run.lock", "archive/seen.json"):
        (home / name).unlink(missing_ok=True)
    for mark in (home / "staged").glob("*/made_from.json"):
        mark.unlink()
    state = home / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "code": "an earlier one"}))
    with closing(duckdb.connect(str(home / "warehouse.duckdb"))) as con:
        con.execute("alter table validated.findings drop column state")
        con.execute("drop table validated.queries")
        con.execute("alter table derived.treated_sites drop column response")
    return home


def test_the_home_of_an_earlier_version_is_read_or_says_what_to_do(earlier: Path, restage: Restage) -> None:
    told = json.loads(restage("status", "--json", "--home", earlier).stdout)
    assert told["up_to_date"] is False
    assert {c["queries"] for c in told["centres"]} == {None}, "it knew no states of queries"
    assert all(c["delivery"] for c in told["centres"])
    doctor = json.loads(restage("doctor", "--json", "--home", earlier).stdout)
    assert doctor["exit_code"] == 0
    (version,) = [f for f in doctor["findings"] if f["check"] == "version"]
    assert version["advice"] == f"restage run --home {earlier} makes them anew"
    for arguments in (("trace", "--cell", "table2/bone/PR"), ("accept", "Q0", "--by", "A", "--reason", "B")):
        done = restage(*arguments, "--home", earlier)
        assert done.returncode == 2
        assert f"made by another version of code or protocol: `restage run --home {earlier}`" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.long
def test_the_home_of_an_earlier_version_is_brought_up_to_date(earlier: Path, demo_home: Path, restage: Restage) -> None:
    done = restage("run", "--home", earlier)
    assert done.returncode == 0, done.stderr
    assert digests(earlier) == digests(demo_home)
    assert printed(earlier) == printed(demo_home)
    assert "Nothing new." in restage("run", "--home", earlier).stdout


def test_the_home_of_a_newer_version_is_left_alone(home: Path, restage: Restage) -> None:
    path = home / "archive" / "ledger.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines[:-1], json.dumps({**json.loads(lines[-1]), "later": 1})]) + "\n")
    before = path.read_bytes()
    for command in ("run", "status", "doctor", "rebuild"):
        done = restage(command, "--home", home)
        assert (done.returncode, "newer version of restage" in done.stderr + done.stdout) == (1, True), done.stderr
    assert path.read_bytes() == before
    assert (home / "warehouse.duckdb").exists()


@pytest.mark.parametrize("spoil", [spoil_object, lose_object])
def test_a_rebuild_that_the_archive_cannot_carry_costs_no_table(home: Path, spoil: object, restage: Restage) -> None:
    spoil(home)  # type: ignore[operator]
    done = restage("rebuild", "--home", home)
    assert done.returncode == 1
    assert "does not hold what was received" in done.stderr
    assert "Traceback" not in done.stderr
    assert (home / "warehouse.duckdb").exists()


def test_a_delivery_whose_acceptance_was_lost_is_accepted_again(home: Path) -> None:
    centre = load_all(CENTRES)["me1"]
    path = home / "archive" / "ledger.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    kept = [line for line in lines if line["centre"] != "me1" or line["state"] != "accepted"]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in kept), encoding="utf-8")
    plan = make_plan(Home(home))
    assert [d.state for d in plan.pending["me1"]] == ["received"]
    take_in(Home(home), centre, plan.pending["me1"], plan.versions["me1"])
    assert make_plan(Home(home)).nothing


def test_no_delivery_is_landed_from_a_file_that_the_disk_has_changed(home: Path) -> None:
    centre, place = load_all(CENTRES)["me1"], Home(home)
    delivery = ledger.in_force(place, "me1")
    assert delivery
    path = ledger.object_path(place, str(next(iter(delivery.files.values()))["sha256"]))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"1", b"2"))
    with pytest.raises(RestageError, match=f"me1/{delivery.name}: .* is damaged"):
        land(place, centre, delivery)
