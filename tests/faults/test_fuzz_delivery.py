"""Hostile archives, names and folders: a reason, or nothing but what was sent; the other deliveries go on."""

import io
import os
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.centres import Centre, load
from pipelines.deliveries import intake as intake_module
from pipelines.deliveries import ledger, unpack
from pipelines.deliveries.intake import intake
from pipelines.errors import DeliveryRejected
from pipelines.readers.csv import read_file
from pipelines.warehouse import Home
from tests.faults.test_fuzz_csv import damaged
from tests.faults.test_intake import deliver
from tests.faults.test_landing import GOOD, MAPPING, landed, rows

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LONG = settings(QUICK, max_examples=3000)
INSIDE = "a name that stays inside the delivery"
VISIBLE = "a name of at most 1000 characters, none of them invisible"
ONCE = "each file name once (case does not count)"
PLAIN = "a plain file, no link or device"
WHOLE = "a complete zip archive"


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", method) as archive:
        warnings.simplefilter("ignore")  # a name that is there twice
        for name, content in members:
            archive.writestr(name, content)
    return made.getvalue()


def special(mode: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo("member")
    member.create_system, member.external_attr = 3, mode << 16
    return member


def patched(at: int, fmt: str, value: int) -> bytes:
    """An archive of one file with another value at a place of its entry in the central directory."""
    content = bytearray(zipped(("a.csv", b"x" * 100_000)))
    struct.pack_into(fmt, content, content.rfind(b"PK\x01\x02") + at, value)
    return bytes(content)


def unpacked(tmp_path: Path, content: bytes) -> tuple[dict[str, bytes], list[str]]:
    """What came out, and what was expected of it; nothing may lie outside the folder."""
    path, out = tmp_path / "a.zip", tmp_path / "out" / str(len(list((tmp_path / "out").glob("*"))))
    out.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    there = {p for p in tmp_path.rglob("*") if out.parent not in p.parents}
    files, problems = unpack.unpack("a.zip", path, out)
    assert {p for p in tmp_path.rglob("*") if out.parent not in p.parents} == there
    assert all(p.parent == out and p.is_file() and not p.is_symlink() for _, p in files)
    assert not (files and problems)
    return {name: p.read_bytes() for name, p in files}, [p.expected for p in problems]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (zipped(("../x.csv", b"x")), INSIDE),
        (zipped(("/x.csv", b"x")), INSIDE),
        (zipped(("C:/x.csv", b"x")), INSIDE),
        (zipped(("C:\\x.csv", b"x")), INSIDE),
        (zipped(("dir\\x.csv", b"x")), INSIDE),
        (zipped(("a.csv", b"x"), ("a.csv", b"y")), ONCE),
        (zipped(("a.csv", b"x"), ("A.CSV", b"y")), ONCE),
        (zipped(("a.csv", b"x"), ("./a.csv", b"y")), ONCE),
        (zipped(("a\nb.csv", b"x")), VISIBLE),
        (zipped(("a\x1b[31m.csv", b"x")), VISIBLE),
        (zipped(("a\u202evsc.exe", b"x")), VISIBLE),
        (zipped(("a" * 1001, b"x")), VISIBLE),
        (zipped(("b.ZIP", b"x")), "no archive inside an archive"),
        (zipped(("b.tar.gz", b"x")), "no archive inside an archive"),
        (zipped((special(0o120777), b"/etc/passwd")), PLAIN),
        (zipped((special(0o010777), b"")), PLAIN),
        (zipped(("zeros", bytes(60 << 20))), "at most 20 GiB unpacked and 200 times the archive's size"),
        (patched(24, "<I", 10), WHOLE),  # the directory states fewer bytes than there are
        (patched(10, "<H", 99), WHOLE),  # a method that nobody knows
        (patched(6, "<H", 200), WHOLE),  # a version that nobody knows
        (patched(16, "<I", 0), WHOLE),  # a wrong check sum
        (patched(8, "<H", 1), "a file without a password"),
        (patched(42, "<I", 1 << 30), WHOLE),  # a member beyond the end
        (zipped(("é.csv", b"x")).replace("é".encode(), b"\xff\xff"), WHOLE),  # a name that is no UTF-8
        (b"id,b\n1,2\n", WHOLE),
        (b"PK\x05\x06" + bytes(10), WHOLE),
        (b"", WHOLE),
    ],
)
def test_a_hostile_archive_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    files, reasons = unpacked(tmp_path, content)
    assert (files, expected in reasons) == ({}, True), reasons


def test_an_entry_that_promises_more_than_it_holds_gives_what_it_holds(tmp_path: Path) -> None:
    assert unpacked(tmp_path, patched(24, "<I", 1 << 20)) == ({"a.zip!a.csv": b"x" * 100_000}, [])


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_STORED])
def test_a_disk_that_is_full_is_no_fault_of_the_archive(
    tmp_path: Path, method: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unpack, "_extract", full)
    with pytest.raises(OSError, match="No space"):
        unpacked(tmp_path, zipped(("a.csv", b"x"), method=method))


@st.composite
def broken_archive(draw: st.DrawFn) -> bytes:
    """An archive of a few members with some of its bytes overwritten, cut off or doubled."""
    names = st.text("ab./\\:é\x00\n", min_size=1, max_size=8).filter(lambda n: n.split("\0")[0])
    members = draw(st.lists(st.tuples(names, st.binary(max_size=50)), max_size=3))
    methods = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    content = bytearray(zipped(*members, method=draw(st.sampled_from(methods))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(content)


@QUICK
@given(content=st.one_of(broken_archive(), st.binary(max_size=100)))
def test_any_archive_is_unpacked_or_refused(tmp_path: Path, content: bytes) -> None:
    unpacked(tmp_path, content)


@pytest.mark.slow
@LONG
@given(content=broken_archive())
def test_sweep_of_archives(tmp_path: Path, content: bytes) -> None:
    unpacked(tmp_path, content)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def goes_on(home: Home) -> str:
    """Take in what lies there beside a good delivery of another centre; returns what became of the first."""
    deliver(home, "2015-01-01", {"a.csv": b"good"}, centre="south")
    states = {d.centre: d.state for d in intake(home, ("north", "south"))}
    assert states["south"] == "received"
    assert {d.centre: d.state for d in ledger.read(home)} == states
    assert intake(home, ("north", "south")) == []
    return states["north"]


@pytest.mark.parametrize("name", ["a\u2028b.csv", "a\x85b.csv", "=cmd|' !A0.csv", "<script>.csv", "a" * 250, "è.csv"])
def test_a_file_name_of_any_text_does_not_get_lost(home: Home, name: str) -> None:
    deliver(home, "2015-01-01", {name: b"a"})
    assert goes_on(home) == "received"


@pytest.mark.parametrize("name", ["a\nb.csv", "a\x1b[31mb.csv"])
def test_a_file_name_that_would_upset_a_terminal_is_refused(home: Home, name: str) -> None:
    deliver(home, "2015-01-01", {name: b"a"})
    assert goes_on(home) == "rejected"


@pytest.mark.parametrize("make", ["file", "folder"])
def test_a_name_that_is_no_utf8_is_refused_and_the_others_go_on(home: Home, make: str) -> None:
    folder = deliver(home, "2015-01-01", {"a.csv": b"a"})
    whole = folder / "a.csv" if make == "file" else folder
    whole.rename(whole.with_name(os.fsdecode(b"\xff")))
    assert goes_on(home) == "rejected"


def test_a_file_that_may_not_be_read_costs_nobody_else_anything(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ledger.store

    def guarded(home: Home, path: Path) -> tuple[str, int]:
        if path.name == "closed.csv":
            raise PermissionError(13, "Permission denied")
        return store(home, path)

    monkeypatch.setattr(intake_module.ledger, "store", guarded)
    deliver(home, "2015-01-01", {"closed.csv": b"a"})
    assert goes_on(home) == "rejected"


def test_a_manifest_that_is_a_link_is_not_followed(home: Home, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.yaml").write_text("extract_date: 2001-01-01\n")
    (deliver(home, "first", {"a.csv": b"a"}) / "manifest.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    (delivery,) = intake(home, ("north",))
    assert (delivery.state, delivery.extract_date) == ("rejected", delivery.received[:10])


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "manifest.yaml")


def endless(folder: Path) -> None:
    (folder / "endless.csv").symlink_to("/dev/zero")


def loop(folder: Path) -> None:
    (folder / "loop").symlink_to(folder)


@pytest.mark.parametrize("make", [pipe, endless, loop])
def test_what_has_no_end_does_not_hang_the_run(home: Home, make: Callable[[Path], None]) -> None:
    make(deliver(home, "2015-01-01", {"a.csv": b"a"}))
    assert goes_on(home) == "rejected"


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Centre:
    folder = tmp_path_factory.mktemp("centres") / "north"
    folder.mkdir()
    (folder / "centre.yaml").write_text(MAPPING, encoding="utf-8")
    return load(folder)


@settings(QUICK, max_examples=25)
@given(content=damaged(), name=st.sampled_from(["log.csv", "extra.csv", "notes.txt", "a.zip"]))
def test_any_damage_lands_every_row_or_none(
    tmp_path_factory: pytest.TempPathFactory, centre: Centre, content: bytes, name: str
) -> None:
    """One damaged file beside a whole one: what landing takes is what the reader alone reads."""
    tmp_path = tmp_path_factory.mktemp("delivery")
    content = content.replace(b",", b";").replace(b"id;b;c", b"ID;Code;c")
    try:
        folder = landed(tmp_path, centre, {"log.csv": GOOD, name: content})
    except DeliveryRejected as error:
        assert all(p.expected and p.action for p in error.problems)
        assert not list((tmp_path / "home" / "landed").rglob("*.parquet"))
        return
    if name == "log.csv":
        (tmp_path / "log.csv").write_bytes(content)
        read = read_file(tmp_path / "log.csv", {"delimiter": ";"})
        columns = [c for c in ("source_row", "ID", "Code") if c in read.column_names]
        found = rows(folder / "log.parquet", ", ".join(columns))
        assert found == [tuple(row[c] for c in columns) for row in read.to_pylist()]
    else:
        assert rows(folder / "log.parquet", "ID") == [("1",), ("2",)]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("log.csv", zipped(("log.csv", b"ID;Code\n1;X\n")), "log.csv, line 1: expected text in utf-8"),
        ("log.zip", b"ID;Code\n1;X\n", "log.zip: expected a complete zip archive"),
        ("log.csv", b"%PDF-1.4\n", "log.csv, column ID: expected this key column"),
        ("log.csv", b"ID,Code\n1,X\n", "log.csv, column ID: expected this key column"),
        ("log.csv", b"x", "log.csv, column ID: expected this key column"),
        ("log.csv", b"ID;Code\n1;RSSMRA80A01H501U\n", "expected no direct identifier"),
    ],
)
def test_a_wrong_file_under_a_right_name_is_refused(
    tmp_path: Path, centre: Centre, name: str, content: bytes, expected: str
) -> None:
    with pytest.raises(DeliveryRejected) as rejected:
        landed(tmp_path, centre, {name: content})
    assert expected in str(rejected.value)
    assert "RSSMRA" not in str(rejected.value)
