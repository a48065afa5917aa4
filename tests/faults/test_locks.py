"""One run at a time over a home, and what a run that was cut off leaves behind."""

import errno
import json
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
from pipelines.errors import RestageError, disk_full
from pipelines.lock import Busy, at_work, is_free
from pipelines.warehouse import DamagedWarehouse, Home
from tests.conftest import Restage

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
