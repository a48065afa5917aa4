"""One run at a time over a home, whoever starts it: a person, the daemon or the Dagster UI."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.errors import RestageError
from pipelines.warehouse import Home, write_whole

# what a run that was cut off leaves in the home; each is made under such a name and renamed when it is whole
UNFINISHED = (
    ".*.part", ".removed-*", "archive/.*.part", "archive/objects/.part-*", "archive/.erasing-*", "keys/.*.part",
    "frozen/.*", "landed/*/.landing-*", "landed/*/.staged", "landed/*/.staging-*", "landed/*/.fold-*",
)  # fmt: skip


class Busy(RestageError):
    """Another run did not end within the time that this one was told to wait."""


@contextmanager
def at_work(home: Home, wait: float | None = None, say: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the home for a run; inside it, this process may ask again.

    The lock is the operating system's (`run.lock`), so that it ends with the process that holds it, however that ends.
    When somebody else has it, `say` is told who, and this process waits: without end, or `wait` seconds, then `Busy` is
    raised. What an earlier run left unfinished is removed; until the end temporary files lie in the home, on its disk.
    """
    from filelock import FileLock, Timeout

    home.root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home.root / "run.lock", is_singleton=True, thread_local=False)
    if lock.is_locked:
        with lock:
            yield
        return
    try:
        lock.acquire(blocking=False)
    except Timeout:
        say(f"{_other(home)} is at work; waiting")
        try:
            lock.acquire(timeout=-1 if wait is None else wait, poll_interval=0.2)
        except Timeout:
            raise Busy(f"{_other(home)} is still at work after {wait:.0f} s; nothing was done.") from None
    try:
        with _scratch(home):
            _sign(home)
            yield
    finally:
        (home.root / "run.json").unlink(missing_ok=True)
        lock.release()


def is_free(home: Home) -> bool:
    """Whether no run is at work on the home now."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(home.root / "run.lock", timeout=0):
            return True
    except Timeout:
        return False


def _sign(home: Home) -> None:
    """Say who is at work, for those who have to wait."""
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])
    about = {"process": os.getpid(), "command": command, "since": datetime.now().astimezone().isoformat("T", "seconds")}
    write_whole(home.root / "run.json", json.dumps(about) + "\n")


def _other(home: Home) -> str:
    """Who is at work; for a moment at its beginning and end there is no note, or one that a killed run left."""
    try:
        about: dict[str, Any] = json.loads((home.root / "run.json").read_text(encoding="utf-8"))
        return f"Another run (started {about['since']} by process {about['process']}, {about['command']})"
    except (OSError, ValueError, KeyError):
        return "Another run"


@contextmanager
def _scratch(home: Home) -> Iterator[None]:
    """Temporary files lie in the home: what a killed run leaves is found again, and no row of a patient elsewhere."""
    folder = home.root / ".scratch"
    for path in [folder, *(p for pattern in UNFINISHED for p in home.root.glob(pattern))]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    folder.mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)
