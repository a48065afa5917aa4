"""A subject leaves deliveries that share files, byte for byte, and those of nobody else go with it."""

import io
import os
import re
import shutil
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipelines import centres, freeze, study, warehouse
from pipelines import withdraw as withdrawing
from pipelines.deliveries import denylist, gone, ledger, search
from pipelines.deliveries.intake import intake
from pipelines.deliveries.ledger import Delivery
from pipelines.orchestration.plan import make_plan
from pipelines.orchestration.take_in import TakenIn, take_in
from pipelines.warehouse import Home
from pipelines.withdraw import withdraw
from tests.centres.delivered import FOLDER, write_export

BROKEN = "ARIA_ristadiazioni.csv"
Deliver = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One clean delivery of each of two centres, invented."""
    found = {name: write_export(name, tmp_path_factory.mktemp(name)) for name in ("me1", "rt1")}
    for folder in found.values():
        (folder / "manifest.yaml").unlink(missing_ok=True)
    return found


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def deliver(home: Home, exports: dict[str, Path]) -> Deliver:
    def put(centre: str, name: str) -> Path:
        return Path(shutil.copytree(exports[centre], home.inbox / centre / name))

    return put


def run(home: Home, centre: str) -> TakenIn:
    """What a run does for the centre, without the tables."""
    intake(home, [centre])
    pending = tuple(d for d in ledger.read(home) if d.centre == centre and d.state == "received")
    return take_in(home, centres.load(FOLDER / centre), pending, "1")


def take_out(home: Home, centre: str, usubjid: str) -> TakenIn:
    """What `restage withdraw` does for the centre, without the tables."""
    withdraw(home, usubjid, {centre: centres.load(FOLDER / centre)})
    return run(home, centre)


def staged(home: Home, centre: str, but: str = "") -> dict[str, list[tuple[Any, ...]]]:
    """The staged rows by table, without a subject, the sums of files and the numbers of rows."""
    found = {}
    with closing(warehouse.memory()) as con:
        for path in sorted((home.staged / centre).glob("*.parquet")):
            if path.stem not in ("received", "dropped"):
                told = "columns(c -> c <> 'file_sha256' and c[1] <> '_')"
                rows = f"select {told} from '{path}' where local_id is distinct from '{but}' order by all"
                found[path.stem] = con.execute(rows).fetchall() if _named(con, path) else []
    return found


def _named(con: Any, path: Path) -> bool:
    return "local_id" in {c for (c,) in con.execute(f"select column_name from (describe from '{path}')").fetchall()}


def somebody(home: Home, centre: str) -> tuple[str, str]:
    """Own id and study code of the last subject that the centre linked."""
    with closing(warehouse.memory()) as con:
        path = home.staged / centre / "links.parquet"
        (found,) = con.execute(f"select local_id, usubjid from '{path}' order by all desc limit 1").fetchall()
    return found


def naming(home: Home, word: str) -> list[str]:
    """Files of the archive and the inbox that hold a word, by sum or name."""
    files = [p for part in (home.archive / "objects", home.inbox) for p in part.rglob("*") if p.is_file()]
    return [p.name for p in files if word.encode() in p.read_bytes()]


def test_a_good_delivery_keeps_what_it_shares_with_a_rejected_one(home: Home, deliver: Deliver) -> None:
    bad = deliver("rt1", "2017-05-02")
    text = (bad / BROKEN).read_bytes()
    (bad / BROKEN).write_bytes(text + b'"no end;')
    assert run(home, "rt1").rejected
    deliver("rt1", "2017-05-03")
    assert not run(home, "rt1").rejected
    local_id, usubjid = somebody(home, "rt1")
    before = staged(home, "rt1", local_id)
    assert not take_out(home, "rt1", usubjid).rejected
    rejected, accepted = ledger.read(home)
    assert (rejected.files, len(accepted.files), accepted.state) == ({}, 5, "accepted")
    assert staged(home, "rt1") == before
    assert not naming(home, usubjid) and not naming(home, local_id)
    assert not list(bad.iterdir())


def test_deliveries_with_the_same_file_follow_each_other(home: Home, deliver: Deliver) -> None:
    deliver("me1", "2017-05-02")
    log = deliver("me1", "2017-08-02") / "ME1_DATA.csv"
    log.write_bytes(log.read_bytes() + b"\n")
    assert not run(home, "me1").rejected
    local_id, usubjid = somebody(home, "me1")
    before = staged(home, "me1", local_id)
    assert not take_out(home, "me1", usubjid).rejected
    assert staged(home, "me1") == before
    assert not naming(home, usubjid)


def test_the_same_export_put_there_again_brings_nothing_back(home: Home, deliver: Deliver) -> None:
    """Under the name that the ledger knows: neither archive nor inbox keep what came with it."""
    sent = deliver("rt1", "2017-05-02")
    assert not run(home, "rt1").rejected
    local_id, usubjid = somebody(home, "rt1")
    assert not take_out(home, "rt1", usubjid).rejected
    before, entries = staged(home, "rt1"), ledger.read(home)
    shutil.rmtree(sent)
    deliver("rt1", "2017-05-02")
    assert naming(home, local_id)
    assert not run(home, "rt1").rejected
    assert not naming(home, usubjid) and not naming(home, local_id)
    assert (staged(home, "rt1"), ledger.read(home)) == (before, entries)


@pytest.mark.parametrize("also", [False, True])
def test_a_reply_beside_the_export_leaves_the_inbox_with_it(home: Home, deliver: Deliver, also: bool) -> None:
    """Also where the same folder is put there again, with or without a reply."""
    sent = deliver("rt1", "2017-05-02")
    assert not run(home, "rt1").rejected
    local_id, usubjid = somebody(home, "rt1")
    reply = f"query_id;local_id;site_reply\nQ1;{local_id};corrected\nQ2;1;corrected\n"
    (sent / "queries.csv").write_text(reply, encoding="utf-8-sig")
    assert not run(home, "rt1").rejected
    assert [d.state for d in ledger.read(home)] == ["accepted", "answer"]
    assert not take_out(home, "rt1", usubjid).rejected
    before, entries = staged(home, "rt1"), ledger.read(home)
    assert not naming(home, usubjid) and not naming(home, local_id)
    shutil.rmtree(sent)
    deliver("rt1", "2017-05-02")
    if also:
        (sent / "queries.csv").write_text(reply, encoding="utf-8-sig")
    assert not run(home, "rt1").rejected
    assert not naming(home, usubjid) and not naming(home, local_id)
    assert (staged(home, "rt1"), ledger.read(home)) == (before, entries)
    assert not run(home, "rt1").rejected and ledger.read(home) == entries


def test_the_same_export_put_back_after_another_brings_nothing_back(home: Home, deliver: Deliver) -> None:
    """The ledger tells that it came back; what is in force holds the subject no more than before."""
    sent = deliver("rt1", "2017-05-02")
    assert not run(home, "rt1").rejected
    local_id, usubjid = somebody(home, "rt1")
    (sent / "notes.txt").write_text("other content")
    assert not run(home, "rt1").rejected
    assert not take_out(home, "rt1", usubjid).rejected
    shutil.rmtree(sent)
    deliver("rt1", "2017-05-02")
    assert naming(home, local_id)
    assert not run(home, "rt1").rejected
    first, _, third = ledger.read(home)
    assert (third.delivery_id, third.state) == (f"{first.delivery_id}-2", "accepted")
    assert (third.files, third.erased) == (first.files, first.erased)
    assert not naming(home, usubjid) and not naming(home, local_id)
    assert not run(home, "rt1").rejected
    assert ledger.read(home)[2:] == [third]


def test_a_copy_that_nothing_reads_takes_nothing_with_it(home: Home, deliver: Deliver) -> None:
    """Neither in its own delivery nor in a later one that reads the same bytes."""
    first = deliver("rt1", "2017-05-02")
    shutil.copy(first / BROKEN, first / "old.csv")
    later = deliver("rt1", "2017-05-03")
    (later / BROKEN).write_bytes((later / BROKEN).read_bytes() + b"\r\n")
    shutil.copy(later / BROKEN, first / "draft.csv")
    assert not run(home, "rt1").rejected
    local_id, usubjid = somebody(home, "rt1")
    before = staged(home, "rt1", local_id)
    assert not take_out(home, "rt1", usubjid).rejected
    assert staged(home, "rt1") == before
    assert not naming(home, usubjid) and not naming(home, local_id)


def test_a_run_that_is_cut_off_leaves_nothing_behind(
    home: Home, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger says what is to go: what a crash left in archive and inbox goes with the next run."""
    deliver("me1", "2017-05-02")
    log = deliver("me1", "2017-08-02") / "ME1_DATA.csv"
    log.write_bytes(log.read_bytes() + b"\n")
    run(home, "me1")
    _, usubjid = somebody(home, "me1")

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    for where, cut in ((gone, "_forget_in_inbox"), (gone, "let_go")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(where, cut, crash)
            take_out(home, "me1", usubjid)
        assert naming(home, usubjid)
    assert not run(home, "me1").rejected
    assert not naming(home, usubjid)


def test_a_withdrawal_that_is_cut_off_is_ended_by_the_next_run(
    home: Home, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whatever point: its code is known until it is through, also where no delivery that can be read has it."""
    deliver("me1", "2017-05-02")
    run(home, "me1")
    local_id, usubjid = somebody(home, "me1")
    before = staged(home, "me1", local_id)
    known = {"me1": centres.load(FOLDER / "me1")}

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    assert withdrawing.finish(home, known) is None
    for where, cut in ((denylist, "add"), (freeze, "take_out"), (withdrawing, "_remove_what_was_made")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(where, cut, crash)
            withdraw(home, usubjid, known)
        assert make_plan(home).full
        assert denylist.begun(home) == {usubjid}
    done = withdrawing.finish(home, known)
    assert done and done.deliveries == {"me1": 1}
    assert denylist.begun(home) is None
    run(home, "me1")
    assert staged(home, "me1") == before
    assert not naming(home, usubjid)


def test_files_that_are_stored_side_by_side_do_not_mix(home: Home, tmp_path: Path) -> None:
    """As when two centres are freed of a subject at once: one file is finished while another is being copied."""
    pipe, file = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(pipe)
    file.write_bytes(b"second")
    with ThreadPoolExecutor(1) as aside:
        first = aside.submit(ledger.store, home, pipe)
        with pipe.open("wb") as end:
            end.write(b"first")
            end.flush()
            while not list((home.archive / "objects").glob(".part-*")):
                time.sleep(0.01)
            second = ledger.store(home, file)
    for (sha256, _), content in ((first.result(), b"first"), (second, b"second")):
        assert ledger.object_path(home, sha256).read_bytes() == content


def zipped(data: bytes, name: str = "a.csv") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return made.getvalue()


WORD = "ABC-XY1-001-M"
HOLDS = {
    "a.csv": (f"1;{WORD}\r\n".encode("cp1252"), True),
    "utf16.csv": (f"1;{WORD}\r\n".encode("utf-16"), True),
    "big.csv": (f"1;{WORD}\r\n".encode("utf-16-be"), True),
    "lower.csv": (WORD.lower().encode(), True),
    "a.zip": (zipped(f'"{WORD}"'.encode()), True),
    "a.xlsx": (zipped(WORD.encode()), True),
    "other.csv": (f"{WORD}1;x{WORD}".encode(), False),
    "wide.csv": (f"{WORD}1;x{WORD}".encode("utf-16"), False),
    "short.csv": (b"1234", False),
    "empty.csv": (b"", False),
    "b.zip": (zipped(b"nothing"), False),
    "a.7z": (b"7z..", None),
    "broken.zip": (b"PK\x03\x04", None),
    "inside.zip": (zipped(b"PK").replace(b"a.csv", b"b.zip"), None),
}


@pytest.mark.parametrize("name", HOLDS)
def test_a_word_is_found_in_any_file_that_can_be_opened(home: Home, tmp_path: Path, name: str) -> None:
    content, holds = HOLDS[name]
    file = tmp_path / "file"
    file.write_bytes(content)
    sha256, size = ledger.store(home, file)
    delivery = Delivery("d", "rt1", "d", "2017", "2017", {name: {"sha256": sha256, "size": size}}, "rejected")
    assert search.names(home, delivery, {WORD, "1234"}) is holds
    assert search.names(home, delivery, {"1234"}) is False


def test_a_rejected_delivery_of_a_centre_that_does_not_know_the_subject_is_searched(
    home: Home,
) -> None:
    """It goes where it holds the code or an id, another one stays, and one that cannot be opened is named."""
    for name, word in (("rt8", "RCC-ZZ9-001-2"), ("rt9", "RCC-ZZ9-001-2M")):
        (home.inbox / name / "bad").mkdir(parents=True)
        (home.inbox / name / "bad" / "a.csv").write_bytes(f"1;{word};2".encode("utf-16"))
    (home.inbox / "me1" / "closed").mkdir(parents=True)
    (home.inbox / "me1" / "closed" / "a.7z").write_bytes(b"7z")
    intake(home, ["me1"])  # the others are no centres of this study
    rejected = (d for d in ledger.read(home) if d.state == "received")
    for each in [*rejected]:
        ledger.append(home, each.decided("rejected"))
    assert {d.state for d in ledger.read(home)} == {"rejected"}
    done = withdraw(home, "RCC-ZZ9-001-2", {"me1": centres.load(FOLDER / "me1")})
    assert (done.deliveries, [d.name for d in done.unsearched]) == ({}, ["closed"])
    assert [d.centre for d in done.removed] == ["rt8"]
    assert [p.parts[-3] for p in sorted(home.inbox.glob("*/*/*"))] == ["me1", "rt9"]
    assert len(list((home.archive / "objects").iterdir())) == 2


def test_a_restored_list_is_followed_in_what_was_rejected(home: Home, deliver: Deliver) -> None:
    """An older archive holds a rejected delivery alone of a subject that has withdrawn since: the list has digests."""
    bad = deliver("rt1", "2017-05-02")
    (bad / BROKEN).write_bytes((bad / BROKEN).read_bytes() + b'"no end;')
    assert run(home, "rt1").rejected
    denylist.add(home, denylist.CODE, ["RCC-ZZ9-001-M"])
    (file,) = (p for p in (home.archive / "objects").rglob("*") if p.is_file() and b"no end" in p.read_bytes())
    known = {"rt1": centres.load(FOLDER / "rt1")}
    denylist.begin(home)
    assert withdrawing.finish(home, known).removed == []
    code = next(iter(re.findall(rb"RCC-[0-9A-Z-]+", b"".join(p.read_bytes() for p in bad.iterdir())))).decode()
    denylist.add(home, denylist.CODE, [code])
    denylist.begin(home)
    assert [d.name for d in withdrawing.finish(home, known).removed] == ["2017-05-02"]
    assert not naming(home, code) and not file.exists()


@pytest.fixture
def left(home: Home, deliver: Deliver) -> tuple[str, str]:
    """Own id and study code of a subject of rt1 that has withdrawn."""
    deliver("rt1", "2017-05-02")
    assert not run(home, "rt1").rejected
    subject = somebody(home, "rt1")
    assert not take_out(home, "rt1", subject[1]).rejected
    return subject


def not_whole(folder: Path) -> None:
    (folder / "manifest.yaml").write_text("files: {lost.csv: " + "0" * 64 + "}")


@pytest.mark.parametrize("fault", ["files", "rows", "centre"])
def test_a_delivery_that_is_rejected_afterwards_brings_nothing_back(
    home: Home, deliver: Deliver, left: tuple[str, str], fault: str
) -> None:
    """Told by the digests alone, whether it is rejected unread, with its whole centre or when its rows are read; one
    that holds nobody who has withdrawn stays as it came."""
    for name in ("2017-06-02", "2017-06-03"):
        bad = deliver("rt1", name)
        for path in bad.iterdir() if name == "2017-06-03" else ():
            text = path.read_bytes()
            path.write_bytes(text.replace(left[0].encode(), b"X").replace(left[1].encode(), b"X"))
        if fault == "files":
            not_whole(bad)
        elif fault == "rows":
            (bad / BROKEN).write_bytes((bad / BROKEN).read_bytes() + b'"no end;')
        else:
            (home.inbox / "rt0").mkdir(exist_ok=True)
            bad.rename(home.inbox / "rt0" / name)
    run(home, "rt1")
    known = ledger.read(home)
    gone, stays = (d for d in known if d.name.startswith("2017-06") and d.state == "rejected")
    assert not gone.files and gone.erased and gone.reasons and not gone.readable
    assert stays.files and not stays.erased
    assert not naming(home, left[1]) and not naming(home, left[0])
    assert not list(home.archive.glob("letting-go-*"))
    assert run(home, "rt1").rejected == ()
    assert ledger.read(home) == known, "what is left of the folder is no delivery"


def test_a_corrected_export_keeps_what_a_rejected_one_before_it_held(
    home: Home, deliver: Deliver, left: tuple[str, str]
) -> None:
    """In the folder of the rejected one, of which a file is the same; another one is rejected beside it."""
    not_whole(deliver("rt1", "2017-06-05"))
    run(home, "rt1")
    shutil.rmtree(home.inbox / "rt1" / "2017-06-05")
    deliver("rt1", "2017-06-05")
    not_whole(deliver("rt1", "2017-06-04"))
    assert not run(home, "rt1").rejected
    assert {d.name: d.state for d in ledger.read(home)}["2017-06-05"] == "accepted"
    assert not naming(home, left[1]) and not naming(home, left[0])


def test_a_delivery_that_lost_a_subject_and_is_rejected_then_is_told(
    home: Home, deliver: Deliver, left: tuple[str, str]
) -> None:
    (deliver("rt1", "2017-06-02") / "manifest.yaml").write_text("removed: [{table: nosuch, local_id: X1}]")
    assert len(run(home, "rt1").rejected) == 1
    assert "columns of a staged table" in str(ledger.read(home)[-1].reasons)
    assert not naming(home, left[1])


def test_an_intake_that_is_cut_off_leaves_nothing_behind(
    home: Home, left: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a centre that this study does not know; names that cannot be written down do not hide a file either."""
    folder = home.inbox / "rt0" / "a"
    folder.mkdir(parents=True)
    (folder / "x\x01.csv").write_text(f"id;{left[1]};end")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(gone, "_forget_in_inbox", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        intake(home, ["rt1"])
    assert naming(home, left[1])
    assert intake(home, ["rt1"]) == []
    assert not naming(home, left[1]) and not list(home.archive.glob("letting-go-*"))


@pytest.mark.parametrize(
    ("own_id", "content", "named"),
    [
        ("PZ 00123", "a;PZ 00123;b", True),
        ("PÈ-00123", "a;pè-00123;b", True),
        ("PZ-00123", "see PZ-00123_2.dcm", True),
        ("PZ-00123", "see PZ-001234", False),
        ("PZ-00123", "/".join("12" * 5000), False),
        ("123", "a;123;b", False),
    ],
)
def test_a_word_is_told_by_its_digest(home: Home, tmp_path: Path, own_id: str, content: str, named: bool) -> None:
    denylist.add(home, "rt1", [own_id])
    for number, encoding in enumerate(("utf-8", "utf-16")):
        if encoding == "utf-16" and not own_id.isascii():
            continue
        file = tmp_path / str(number)
        file.write_bytes(content.encode(encoding))
        sha256, size = ledger.store(home, file)
        about: dict[str, dict[str, str | int]] = {"a.csv": {"sha256": sha256, "size": size}}
        assert search.names_withdrawn(home, Delivery("d", "rt1", "d", "2017", "2017", about, "rejected")) is named
    (tmp_path / "zip").write_bytes(zipped(b"nothing", f"{own_id}/a.csv"))
    sha256, size = ledger.store(home, tmp_path / "zip")
    about = {"a.zip": {"sha256": sha256, "size": size}}
    found = search.names_withdrawn(home, Delivery("d", "rt1", "d", "2017", "2017", about, "rejected"))
    assert found is (len(own_id) >= search.TELLING)


@pytest.mark.parametrize(("kind", "gone"), [("xlsx", {"3", "4", "6"}), ("csv", {"3", "6"})])
def test_rows_below_a_merged_cell_are_the_subjects_above(tmp_path: Path, kind: str, gone: set[str]) -> None:
    """In a workbook a cell that stands for several rows is read in the first of them; in a text file it is a gap."""
    centre = centres.load(FOLDER / "me2")
    source = next(p.source for p in centre.tables["labs"])
    landed = tmp_path / "d1"
    landed.mkdir()
    ids = ["PZ-001", "PZ-002", None, "Totale", "PZ-002", "PZ-003", " "]
    listed = ", ".join(f"('d1', 'a.{kind}', '{n}', {study.sql_literal(i)})" for n, i in enumerate(ids, 2))
    with closing(warehouse.memory()) as con:
        con.execute(f"""
            copy (from (values {listed}) t(delivery_id, source_file, source_row, "Codice"))
            to '{landed / f"{source}.parquet"}' (format parquet)
        """)
    assert denylist.rows_of(centre, landed, ["pz-002"]) == {f"a.{kind}": gone}
