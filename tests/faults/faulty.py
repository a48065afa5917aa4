"""What goes wrong on purpose: a process that is killed at a change of a file, a full disk, an open warehouse."""

import errno
import json
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.chmod", "shutil.rmtree"}
GROWING = {"os.mkdir", "os.link"}


class Fault:
    """Counts what is about to change in the home. From the N-th change on the process is gone, or the disk full.

    Dagster's own records can still be written on the full disk, or they would be the first to fail.
    """

    def __init__(self, home: Path, kind: str, at: int, delay: float = 0.0) -> None:
        self.home, self.kind, self.at, self.delay, self.n = home, kind, at, delay, 0

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        written = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        if not (event in CHANGES or written) or not isinstance(args[0], str | Path):
            return
        if self.kind != "full":
            self.point() if Path(args[0]).is_relative_to(self.home) else None
        elif (written or event in GROWING) and {self.home, self.home / "dagster"} & {*Path(args[0]).parents} == {
            self.home
        }:
            self.n += 1
            if self.n >= self.at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(args[0]))

    def point(self, _: str = "") -> None:
        if self.kind == "full":
            return
        self.n += 1
        if self.kind == "kill" and self.n == self.at and self.delay:  # inside of a statement of DuckDB, for one
            threading.Timer(self.delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
        elif self.kind == "kill" and self.n == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def forked(work: Callable[[], Any]) -> tuple[Any, int]:
    """Do something in a process of its own; returns what it says and the signal that ended it."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        try:
            said = {"said": work()}
        except BaseException:
            said = {"error": traceback.format_exc()}
        with os.fdopen(write, "w") as out:
            out.write(json.dumps(said, default=str))
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    return (json.loads(text) if text else {}), os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def unprivileged(work: Callable[[], Any]) -> Any:
    """Do something in a process that permissions hold for, also where the tests run as root; returns what it says."""

    def as_nobody() -> Any:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        return work()

    told, _ = forked(as_nobody)
    assert "said" in told, told["error"]
    return told["said"]


@contextmanager
def opened(path: Path) -> Iterator[None]:
    """The warehouse open in another program."""
    ready, end = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        import duckdb

        con = duckdb.connect(str(path))
        os.write(ready[1], b"x")
        os.read(end[0], 1)
        con.close()
        os._exit(0)
    os.read(ready[0], 1)
    yield
    os.write(end[1], b"x")
    os.waitpid(child, 0)
