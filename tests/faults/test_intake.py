"""What lies in an inbox that is no proper delivery: nothing is lost, nothing comes further, the message helps."""

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.deliveries import inbox, ledger, unpack
from pipelines.deliveries import intake as intake_module
from pipelines.deliveries.intake import intake
from pipelines.orchestration.doctor import examine
from pipelines.warehouse import Home
from tests.faults.faulty import unprivileged

CENTRES = ("north",)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def deliver(home: Home, name: str, files: dict[str, bytes], centre: str = "north") -> Path:
    folder = home.inbox / centre / name
    folder.mkdir(parents=True)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def test_a_delivery_is_archived_once_and_in_the_order_of_its_extract_date(home: Home) -> None:
    deliver(home, "second", {"a.csv": b"b", "manifest.yaml": b"extract_date: 2015-02-01\n"})
    deliver(home, "2015-01-01_first", {"sub/a.csv": b"a"})
    assert [(d.name, d.extract_date, d.state) for d in intake(home, CENTRES)] == [
        ("2015-01-01_first", "2015-01-01", "received"),
        ("second", "2015-02-01", "received"),
    ]
    assert intake(home, CENTRES) == []
    stored = {p.read_bytes() for p in (home.archive / "objects").iterdir()}
    assert stored == {b"a", b"b", b"extract_date: 2015-02-01\n"}


def test_the_same_files_again_are_a_duplicate_but_a_return_to_older_ones_is_not(home: Home) -> None:
    for day, content in (("2015-01-01", b"a"), ("2015-01-02", b"a"), ("2015-01-03", b"b"), ("2015-01-04", b"a")):
        deliver(home, day, {"a.csv": content})
    assert [d.state for d in intake(home, CENTRES)] == ["received", "duplicate", "received", "received"]


def test_a_changed_folder_is_another_delivery_and_the_first_one_stays(home: Home) -> None:
    folder = deliver(home, "2015-01-01", {"a.csv": b"a"})
    intake(home, CENTRES)
    (folder / "a.csv").write_bytes(b"corrected")
    intake(home, CENTRES)
    assert [d.name for d in ledger.read(home)] == ["2015-01-01", "2015-01-01"]
    assert {p.read_bytes() for p in (home.archive / "objects").iterdir()} == {b"a", b"corrected"}


def test_a_file_that_grows_while_it_is_read_waits_for_the_next_run(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    file = deliver(home, "2015-01-01", {"a.csv": b"half"}) / "a.csv"
    store = ledger.store

    def store_while_it_grows(home: Home, path: Path) -> tuple[str, int]:
        stored = store(home, path)
        path.write_bytes(b"half and the other half")
        return stored

    monkeypatch.setattr(intake_module.ledger, "store", store_while_it_grows)
    assert intake(home, CENTRES) == []
    monkeypatch.undo()
    assert [d.files["a.csv"]["size"] for d in intake(home, CENTRES)] == [file.stat().st_size]


@pytest.mark.parametrize("target", ["file", "folder"])
def test_a_link_out_of_the_inbox_is_refused_and_not_read(home: Home, tmp_path: Path, target: str) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "s.csv").write_bytes(b"secret")
    folder = deliver(home, "2015-01-01", {"a.csv": b"a"})
    (folder / "link").symlink_to(secret / "s.csv" if target == "file" else secret)
    (delivery,) = intake(home, CENTRES)
    assert delivery.state == "rejected"
    assert "link: expected a plain file" in delivery.reasons[0]
    assert {p.read_bytes() for p in (home.archive / "objects").iterdir()} == {b"a"}


def test_a_pipe_does_not_hang_the_run(home: Home) -> None:
    os.mkfifo(deliver(home, "2015-01-01", {"a.csv": b"a"}) / "pipe")
    assert "expected a plain file" in intake(home, CENTRES)[0].reasons[0]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "expected at least one file"),
        ({"manifest.yaml": b"extract_date: 2015-01-01\n"}, "expected at least one file"),
        (
            {"a.csv": b"a", "manifest.yaml": b"files: {a.csv: 00}\n"},
            "a.csv: expected the bytes of the manifest's sha256",
        ),
        ({"a.csv": b"a", "manifest.yaml": b"files: {b.csv: 00}\n"}, "b.csv: expected the file that the manifest names"),
        ({"a.csv": b"a", "manifest.yaml": b"extract_date: 1/2/15\n"}, "expected a date as YYYY-MM-DD"),
        ({"a.csv": b"a", "manifest.yaml": b"- {"}, "expected a readable YAML file"),
    ],
)
def test_what_is_no_delivery_is_rejected_with_a_reason(home: Home, files: dict[str, bytes], reason: str) -> None:
    deliver(home, "x", files)
    (delivery,) = intake(home, CENTRES)
    assert delivery.state == "rejected"
    assert any(reason in r for r in delivery.reasons)


def test_a_centre_that_nobody_knows_is_rejected(home: Home) -> None:
    deliver(home, "x", {"a.csv": b"a"}, centre="nowhere")
    assert "expected a centre that this study knows" in intake(home, CENTRES)[0].reasons[0]


def test_a_reply_to_queries_is_no_snapshot(home: Home) -> None:
    deliver(home, "x", {"queries.csv": b"query_id\n"})
    assert [d.state for d in intake(home, CENTRES)] == ["answer"]


def told(home: Home) -> list[tuple[str, str, list[str]]]:
    return [(d.name, d.state, sorted(d.files)) for d in ledger.read(home)]


def test_a_reply_beside_an_export_is_a_delivery_of_its_own_after_it(home: Home) -> None:
    """Whatever their sums, so that the order of their ids decides nothing."""
    expected = []
    for n in range(1, 9):
        manifest = f"extract_date: 2015-01-0{n}\n".encode()
        deliver(home, f"x{n}", {"a.csv": b"%d" % n, "to you/Queries.csv": b"q%d" % n, "manifest.yaml": manifest})
        expected += [(f"x{n}", "received", ["a.csv", "manifest.yaml"]), (f"x{n}", "answer", ["to you/Queries.csv"])]
    assert [(d.name, d.state) for d in intake(home, CENTRES)] == [e[:2] for e in expected]
    assert told(home) == expected
    assert {d.extract_date for d in ledger.read(home) if d.state == "answer"} == {f"2015-01-0{n}" for n in range(1, 9)}


def test_a_folder_with_a_reply_is_taken_in_once_and_what_changes_in_it_alone(home: Home) -> None:
    folder = deliver(home, "2015-01-01", {"a.csv": b"a"})
    intake(home, CENTRES)
    for name, content in (("queries.csv", b"q"), ("queries.csv", b"other"), ("a.csv", b"b"), ("a.csv", b"a")):
        (folder / name).write_bytes(content)
        (delivery,) = intake(home, CENTRES)
        assert list(delivery.files) == [name]
        for path in (folder / "a.csv", folder / "queries.csv"):
            os.utime(path, (1, 1))  # as in a home that was copied
        assert intake_module.unseen(home) == []
        assert intake(home, CENTRES) == []
    assert sorted(d.state for d in ledger.read(home)) == ["answer", "answer", "received", "received", "received"]


def test_a_cut_off_last_line_of_the_ledger_is_left_out(home: Home) -> None:
    deliver(home, "x", {"a.csv": b"a"})
    intake(home, CENTRES)
    with (home.archive / "ledger.jsonl").open("a") as file:
        file.write('{"delivery_id": "no')
    assert [d.name for d in ledger.read(home)] == ["x"]


def test_a_file_that_gets_its_name_while_the_folder_is_read_waits_for_the_next_run(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rsync writes a file under a name of its own, and renames it when it is whole."""
    folder = deliver(home, "2015-01-01", {"a.csv": b"a", ".b.csv.Ab3dEf": b"b"})
    deliver(home, "2015-01-01", {"a.csv": b"a"}, centre="south")
    scandir = os.scandir

    def and_then_it_is_renamed(path: Path) -> list[os.DirEntry[str]]:
        found = list(scandir(path))
        (folder / ".b.csv.Ab3dEf").replace(folder / "b.csv") if path == folder else None
        return found

    monkeypatch.setattr(os, "scandir", and_then_it_is_renamed)
    assert (inbox.signature_of(folder), inbox.is_whole(folder, 0)) == ("", False)
    monkeypatch.undo()
    (folder / "b.csv").rename(folder / ".b.csv.Ab3dEf")
    store = ledger.store

    def as_it_is_renamed(home: Home, path: Path) -> tuple[str, int]:
        if path.name.startswith("."):
            path.replace(path.with_name("b.csv"))
        return store(home, path)

    monkeypatch.setattr(intake_module.ledger, "store", as_it_is_renamed)
    assert [d.centre for d in intake(home, ("north", "south"))] == ["south"]
    monkeypatch.undo()
    assert [sorted(d.files) for d in intake(home, CENTRES)] == [["a.csv", "b.csv"]]


def test_a_clock_that_was_set_back_keeps_no_delivery_waiting(home: Home) -> None:
    folder = deliver(home, "2015-01-01", {"a.csv": b"a"})
    came = folder.stat().st_ctime
    assert [inbox.is_whole(folder, 120, now=came + s) for s in (-3600, -60, 60, 3600)] == [True, False, False, True]


@pytest.fixture
def shared() -> Iterator[Home]:
    """A home that another user than the one of the tests can reach and write."""
    root = Path(tempfile.mkdtemp(dir="/tmp"))
    root.chmod(0o777)
    yield Home(root / "home")
    shutil.rmtree(root)


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_a_folder_that_may_not_be_read_is_refused_until_it_may(shared: Home, mode: int) -> None:
    locked = deliver(shared, "2015-01-01", {"DICOM/x.dcm": b"x", "a.csv": b"a"}) / "DICOM"
    deliver(shared, "2015-01-02", {"a.csv": b"b"})
    for path in [shared.root, *shared.root.rglob("*")]:
        path.chmod(0o777)
    locked.chmod(mode)

    def look() -> list[tuple[str, str, str]]:
        return [(d.name, d.state, *d.reasons) for d in intake(shared, CENTRES)]

    refused = "DICOM: expected a folder that may be read. Change its permissions."
    both = [["2015-01-01", "rejected", refused], ["2015-01-02", "received"]]
    assert (unprivileged(look), unprivileged(look)) == (both, [])
    locked.chmod(0o755)
    assert unprivileged(look) == [["2015-01-01", "received"]]


def test_a_centre_whose_folder_may_not_be_read_keeps_no_other_waiting(shared: Home) -> None:
    deliver(shared, "2015-01-01", {"a.csv": b"a"})
    deliver(shared, "2015-01-01", {"a.csv": b"a"}, centre="south")
    for path in [shared.root, *shared.root.rglob("*")]:
        path.chmod(0o777)
    (shared.inbox / "south").chmod(0o604)

    def look() -> list[str]:
        return [d.centre for d in intake(shared, ("north", "south"))] + [
            f.what for f in examine(shared) if f.check == "inbox"
        ]

    assert unprivileged(look) == ["north", "inbox/south cannot be read, so nothing in it is taken in"]


def test_a_centre_that_goes_back_to_what_it_had_put_there_is_told_in_the_ledger(home: Home) -> None:
    folder = deliver(home, "2015-01-01", {"a.csv": b"a"})
    for content in (b"a", b"b", b"a", b"a", b"b", b"a"):
        (folder / "a.csv").write_bytes(content)
        intake(home, CENTRES)
        assert intake(home, CENTRES) == []
    found = ledger.read(home)
    objects = [ledger.object_path(home, str(d.files["a.csv"]["sha256"])).read_bytes() for d in found]
    assert objects == [b"a", b"b", b"a", b"b", b"a"]
    assert len({d.delivery_id for d in found}) == 5
    assert found[2].delivery_id == f"{found[0].delivery_id}-2"
    assert [d.state for d in found] == ["received"] * 5


def test_two_names_that_are_shortened_to_one_are_two_deliveries(home: Home) -> None:
    for end in ("first", "second"):
        deliver(home, f"2015-01-01_{'x' * 40}_{end}", {"a.csv": b"a"})
    found = intake(home, CENTRES)
    assert [d.state for d in found] == ["received", "duplicate"]
    assert len({d.delivery_id for d in found}) == 2


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_an_archive_is_read_as_a_folder(tmp_path: Path) -> None:
    files, problems = unpack.unpack("a.zip", zipped(tmp_path / "a.zip", {"dir/x.dcm": b"x"}), tmp_path / "out")
    assert problems == []
    assert [(name, path.read_bytes()) for name, path in files] == [("a.zip!dir/x.dcm", b"x")]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"../../x.csv": b"x"}, "a name that stays inside the delivery"),
        ({"/etc/x.csv": b"x"}, "a name that stays inside the delivery"),
        ({"inner.zip": b"x"}, "no archive inside an archive"),
        ({"bomb.csv": bytes(60 << 20)}, "times the archive's size"),
    ],
)
def test_a_hostile_archive_is_refused_before_anything_is_written(
    tmp_path: Path, members: dict[str, bytes], reason: str
) -> None:
    files, problems = unpack.unpack("a.zip", zipped(tmp_path / "a.zip", members), tmp_path / "out")
    assert files == []
    assert reason in str(problems[0])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("cut", [1, 40])
def test_a_damaged_archive_is_refused(tmp_path: Path, cut: int) -> None:
    whole = zipped(tmp_path / "a.zip", {"x.csv": b"x" * 1000}).read_bytes()
    (tmp_path / "b.zip").write_bytes(whole[:cut])
    assert "a complete zip archive" in str(unpack.unpack("b.zip", tmp_path / "b.zip", tmp_path / "out")[1][0])
