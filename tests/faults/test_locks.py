"""One run at a time over a home, and what a run that was cut off leaves behind."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from pipelines import warehouse
from pipelines.deliveries import ledger
from pipelines.deliveries.ledger import Delivery
from pipelines.errors import RestageError, UsageError, disk_full
from pipelines.lock import Busy, at_work, is_free
from pipelines.orchestration import serve
from pipelines.orchestration.doctor import examine
from pipelines.orchestration.plan import write_state
from pipelines.warehouse import DamagedWarehouse, Home
from tests.conftest import Restage
from tests.faults.faulty import forked, unprivileged

HOLD = """
import sys
from pathlib import Path
from pipelines.lock import at_work
from pipelines.warehouse import Home
with at_work(Home(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""
OPEN = """
import sys
import duckdb
with duckdb.connect(sys.argv[1]) as con:
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@contextmanager
def other_process(code: str, path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that has said that it holds what it was asked to, until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    try:
        yield process
    finally:
        process.communicate()


def test_the_second_waits_says_for_whom_and_goes_on_when_the_first_ends(home: Home) -> None:
    said = []

    def hear(text: str) -> None:
        said.append(text)
        first.stdin.close()  # type: ignore[union-attr]

    with other_process(HOLD, home.root) as first:
        with at_work(home, say=hear):
            assert first.wait(10) == 0
        first.stdin = None
    assert len(said) == 1
    assert f"by process {first.pid}" in said[0]
    assert said[0].endswith("is at work; waiting")


def test_one_that_may_not_wait_ends_with_a_plain_message(home: Home, restage: Restage) -> None:
    with other_process(HOLD, home.root) as first:
        assert not is_free(home)
        with (
            pytest.raises(Busy, match=f"process {first.pid}.* is still at work after 0 s; nothing was done"),
            at_work(home, 0),
        ):
            pass
        done = restage("run", "--home", home.root, "--wait", "0")
    assert done.returncode == 1
    assert [line.split(" (")[0] for line in done.stderr.splitlines()] == ["restage: Another run"] * 2
    assert is_free(home)


def test_the_lock_of_a_killed_process_is_gone_with_it(home: Home) -> None:
    with other_process(HOLD, home.root) as first:
        first.kill()
        first.wait()
    with at_work(home, 0):
        assert json.loads((home.root / "run.json").read_text())["process"] != first.pid


def test_a_process_that_holds_the_home_may_ask_again(home: Home) -> None:
    with at_work(home), at_work(home, 0):
        assert not is_free(home) or pytest.fail("the lock is free inside")
    assert is_free(home)


def test_what_a_killed_run_left_is_removed_and_temporary_files_lie_in_the_home(home: Home) -> None:
    left = ["landed/north/.landing-x/landed/a.parquet", "landed/north/.staged/a.parquet", ".removed-1-staged-north/a"]
    left += [".state.json.part", "archive/.seen.json.part", "archive/objects/.part-1", ".scratch/x/rows.csv"]
    kept = ["landed/north/d1/a.parquet", "staged/north/a.parquet", "archive/objects/abc", "inbox/north/d1/.part-x"]
    for name in [*left, *kept]:
        (home.root / name).parent.mkdir(parents=True, exist_ok=True)
        (home.root / name).write_text("x")
    before = tempfile.gettempdir()
    with at_work(home):
        assert [name for name in left if (home.root / name).exists()] == []
        with tempfile.NamedTemporaryFile() as file:
            assert Path(file.name).parent == home.root / ".scratch"
    assert tempfile.gettempdir() == before
    assert [name for name in kept if not (home.root / name).exists()] == []
    assert not (home.root / ".scratch").exists()


def delivery(name: str) -> Delivery:
    return Delivery(name, "north", name, "2015-01-01", "2015-01-01", {"a.csv": {"sha256": "0", "size": 1}}, "received")


def test_a_line_of_the_ledger_that_was_cut_off_takes_no_other_with_it(home: Home) -> None:
    ledger.append(home, delivery("d1"))
    with (home.archive / "ledger.jsonl").open("a") as file:
        file.write('{"delivery_id": "d2", "cent')
    ledger.append(home, delivery("d3"))
    assert [d.delivery_id for d in ledger.read(home)] == ["d1", "d3"]


def test_a_warehouse_that_another_program_has_open_is_named(home: Home, restage: Restage) -> None:
    home.root.mkdir()
    with (
        other_process(OPEN, home.database),
        pytest.raises(RestageError, match="is open in another program"),
    ):
        warehouse.open_write(home)
    warehouse.open_write(home).close()


def test_a_damaged_warehouse_is_told_from_one_that_is_in_use(home: Home) -> None:
    home.root.mkdir()
    home.database.write_bytes(b"no database" * 1000)
    with pytest.raises(DamagedWarehouse):
        warehouse.open_write(home)


def test_a_folder_goes_as_a_whole(home: Home) -> None:
    (home.staged / "north").mkdir(parents=True)
    (home.staged / "north" / "a.parquet").write_text("x")
    warehouse.remove(home, home.staged / "north")
    warehouse.remove(home, home.staged / "north")
    assert list(home.root.rglob("*")) == [home.staged]


def test_a_small_file_is_the_old_one_or_the_new_one(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home.root / "x.json"
    warehouse.write_whole(path, "old", 0o600)
    assert path.stat().st_mode & 0o777 == 0o600

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(warehouse.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        warehouse.write_whole(path, "new")
    assert path.read_text() == "old"


def test_a_full_disk_is_known_by_whatever_says_it() -> None:
    wrapped = RuntimeError("a step failed")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert disk_full(wrapped)
    assert disk_full(RuntimeError("(sqlite3.OperationalError) disk I/O error"))
    assert disk_full(duckdb.IOException('IO Error: Could not write file "x": No space left on device'))
    assert not disk_full(PermissionError(errno.EACCES, "Permission denied"))


def test_doctor_does_not_call_a_run_at_work_one_that_did_not_end(home: Home) -> None:
    def about() -> list[tuple[str, str]]:
        return [(f.state, f.what) for f in examine(home) if f.check in ("run", "leftovers")]

    with at_work(home):
        write_state(home, {}, complete=False)
        (home.root / ".x.part").touch()
        told, _ = forked(about)
    assert told["said"] == [["ok", "a run is at work"]]
    assert [state for state, _ in about()] == ["wrong", "note"]


@pytest.fixture
def shared() -> Iterator[Home]:
    """A home that another user than the one of the tests can reach."""
    root = Path(tempfile.mkdtemp(dir="/tmp"))
    root.chmod(0o755)
    yield Home(root)
    shutil.rmtree(root)


def look(home: Home) -> list[tuple[str, str]]:
    return [(f.check, f.what) for f in examine(home) if f.state == "wrong"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave files to another user")
def test_doctor_names_what_a_run_as_another_user_left(shared: Home) -> None:
    shared.root.chmod(0o777)
    for name in ("run.lock", "state.json", "archive/seen.json"):
        (shared.root / name).parent.mkdir(exist_ok=True)
        (shared.root / name).write_text("{}")
    wrong = unprivileged(lambda: look(shared))
    assert wrong == [
        ["home", "archive, archive/seen.json, run.lock and 1 more cannot be written: another user has run restage here"]
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave files to another user")
def test_doctor_looks_at_all_it_can_of_a_home_that_it_may_not_write(shared: Home) -> None:
    (shared.root / "run.lock").touch()
    write_state(shared, {}, complete=False)
    shared.archive.mkdir()
    (shared.archive / "ledger.jsonl").write_bytes(b"[]\n\xff\n")
    (shared.archive / "ledger.jsonl").chmod(0o600)
    wrong = unprivileged(lambda: look(shared))
    assert [check for check, _ in wrong] == ["home", "archive", "clock", "run"]
    assert wrong[0][1] == f"{shared.root} cannot be written"
    assert wrong[1][1] == f"{shared.archive / 'ledger.jsonl'}: Permission denied"


@pytest.mark.parametrize("name", ["[2026]", "who?", "a%25b", "*"])
def test_a_home_that_a_database_reads_as_a_pattern_is_refused_first(
    tmp_path: Path, name: str, restage: Restage
) -> None:
    home = tmp_path / name
    home.mkdir()
    with pytest.raises(UsageError, match="DuckDB and SQLite"):
        Home(home)
    done = restage("rebuild", "--home", home)
    assert (done.returncode, "DuckDB and SQLite" in done.stderr, list(home.iterdir())) == (2, True, [])


def test_one_that_watches_takes_the_place_of_the_daemon_when_it_ends(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`restage watch` beside `restage ui`: when the UI is closed the inbox is watched still."""
    for name in ("DAGSTER_HOME", "RESTAGE_HOME", "RESTAGE_AS_OF", "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS"):
        monkeypatch.setenv(name, "")
    started: list[tuple[str, ...]] = []

    def start(command: tuple[str, ...], inherited: tuple[int, ...] = ()) -> "subprocess.Popen[bytes]":
        started.append(command)
        return subprocess.Popen([sys.executable, "-c", "pass"], pass_fds=inherited)

    monkeypatch.setattr(serve, "_start", start)
    home.dagster.mkdir(parents=True)
    (home.dagster / "daemon.lock").write_text("4711\n")
    other = serve._only_daemon(home)
    assert other is not None
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        assert started == []
        os.close(other)

    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        assert serve.serve(home, None, say) == 0
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), handlers, strict=True):
            signal.signal(number, handler)
    assert ["process 4711" in text for text in said] == [True]
    assert started == [serve.DAEMON]
    assert (home.dagster / "daemon.lock").read_text().strip().isdigit()
